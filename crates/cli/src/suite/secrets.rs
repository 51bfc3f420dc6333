//! Passwords and tokens, made once.

use std::{
    fs,
    io::{self, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
};

use super::SuiteError;

/// Makes a secret unless it is there: 256 bits of the system's randomness, in hexadecimal. Its
/// folder is for its owner only; the file can be read by the containers' users, to whom it is
/// mounted alone.
///
/// # Errors
/// When the folder or the file cannot be written.
pub fn make_secret(file: &Path) -> Result<(), SuiteError> {
    let make = || -> io::Result<()> {
        let folder = file.parent().unwrap_or(Path::new("/"));
        if !folder.is_dir() {
            fs::create_dir_all(folder)?;
            fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
        }
        let mut options = fs::OpenOptions::new();
        match options.write(true).create_new(true).mode(0o444).open(file) {
            Ok(mut open) => {
                open.write_all(random()?.as_bytes())?;
                // Whatever this user's umask: the containers' users must be able to read it.
                open.set_permissions(fs::Permissions::from_mode(0o444))
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
        }
    };
    make().map_err(SuiteError::path(file))
}

fn random() -> io::Result<String> {
    let mut bytes = [0; 32];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("secrets/grpc_tokens");
        make_secret(&secret).unwrap();
        let first = fs::read_to_string(&secret).unwrap();
        assert_eq!(first.len(), 64);
        make_secret(&secret).unwrap();
        assert_eq!(fs::read_to_string(&secret).unwrap(), first);
        let mode = secret.parent().unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
}
