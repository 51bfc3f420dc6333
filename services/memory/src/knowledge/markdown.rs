//! A markdown document falls into sections by its headings.

/// Longer sections are split between paragraphs, in bytes.
const LONGEST: usize = 4_096;

/// A part of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// The headings it stands under, outermost first: "Brief › Goals".
    pub heading: String,
    /// Its text without the heading.
    pub body: String,
}

impl Section {
    /// As it is found: heading and body.
    #[must_use]
    pub fn text(&self) -> String {
        if self.heading.is_empty() {
            self.body.clone()
        } else {
            format!("{}\n{}", self.heading, self.body)
        }
    }
}

/// The sections of `document`, in order, without empty ones. Headings in code blocks are none.
#[must_use]
pub fn sections(document: &str) -> Vec<Section> {
    let mut sections = Vec::new();
    let mut path: Vec<(usize, String)> = Vec::new();
    let mut body = String::new();
    let mut in_code = false;
    for line in document.lines() {
        if fences(line) {
            in_code = !in_code;
        }
        match heading(line).filter(|_| !in_code) {
            Some((level, title)) => {
                flush(&path, &mut body, &mut sections);
                path.retain(|(outer, _)| *outer < level);
                path.push((level, title.to_owned()));
            }
            None => {
                body.push_str(line);
                body.push('\n');
            }
        }
    }
    flush(&path, &mut body, &mut sections);
    sections
}

/// Whether a block of code begins or ends there.
pub(super) fn fences(line: &str) -> bool {
    line.trim_start().starts_with("```")
}

/// The level and the title of a heading.
pub(super) fn heading(line: &str) -> Option<(usize, &str)> {
    let level = line.bytes().take_while(|byte| *byte == b'#').count();
    let title = line.get(level..)?.strip_prefix(' ')?.trim().trim_end_matches('#').trim();
    ((1..=6).contains(&level) && !title.is_empty()).then_some((level, title))
}

fn flush(path: &[(usize, String)], body: &mut String, sections: &mut Vec<Section>) {
    let titles: Vec<&str> = path.iter().map(|(_, title)| title.as_str()).collect();
    let heading = titles.join(" › ");
    let text = std::mem::take(body);
    let mut part = String::new();
    let paragraphs = text.split("\n\n").map(|paragraph| paragraph.trim_matches('\n'));
    for paragraph in paragraphs.flat_map(pieces) {
        if !part.is_empty() && part.len() + paragraph.len() > LONGEST {
            push(&heading, &part, sections);
            part.clear();
        }
        if !part.is_empty() {
            part.push_str("\n\n");
        }
        part.push_str(paragraph);
    }
    push(&heading, &part, sections);
}

/// A paragraph in pieces that are not too long, cut at blanks where there are any.
fn pieces(mut paragraph: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    while paragraph.len() > LONGEST {
        let most = paragraph.floor_char_boundary(LONGEST);
        let cut = paragraph[..most].rfind(char::is_whitespace).filter(|cut| *cut > 0);
        let (piece, rest) = paragraph.split_at(cut.unwrap_or(most));
        pieces.push(piece);
        paragraph = rest.trim_start();
    }
    pieces.push(paragraph);
    pieces
}

fn push(heading: &str, body: &str, sections: &mut Vec<Section>) {
    if !body.trim().is_empty() {
        sections.push(Section { heading: heading.to_owned(), body: body.trim().to_owned() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_nest_and_code_has_none() {
        let document =
            "intro\n# Brief\nwhat\n## Goals ##\nfast\n```\n# no heading\n```\n# Next\n\nend\n";
        let found: Vec<_> =
            sections(document).into_iter().map(|section| (section.heading, section.body)).collect();
        let expected = [
            ("", "intro"),
            ("Brief", "what"),
            ("Brief › Goals", "fast\n```\n# no heading\n```"),
            ("Next", "end"),
        ];
        assert_eq!(found, expected.map(|(heading, body)| (heading.to_owned(), body.to_owned())));
    }

    #[test]
    fn a_long_section_is_split_between_paragraphs() {
        let paragraph = "word ".repeat(500);
        let document = format!("# Long\n{paragraph}\n\n{paragraph}\n\n{paragraph}");
        let found = sections(&document);
        assert_eq!(found.len(), 3);
        assert!(found.iter().all(|section| section.heading == "Long"));

        let unbroken = format!("{} {}", "ä".repeat(6_000), "word ".repeat(3_000));
        let found = sections(&unbroken);
        assert!(found.len() > 5 && found.iter().all(|section| section.body.len() <= LONGEST));
    }
}
