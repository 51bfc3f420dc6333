//! Requests as bytes: what no generated client would send.

use std::collections::BTreeMap;

use bytes::{Buf, BufMut, Bytes};
use prost::{Message, encoding};
use prost_types::{
    DescriptorProto, FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};
use tonic::{
    Request, Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    transport::{Channel, Endpoint},
};

/// Takes bytes for messages.
#[derive(Debug, Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

/// Sends bytes.
#[derive(Debug, Clone)]
pub(crate) struct RawClient(Channel);

impl RawClient {
    pub(crate) async fn to(url: &str) -> Self {
        let endpoint = Endpoint::from_shared(url.to_owned()).expect("an address");
        Self(endpoint.connect().await.expect("the service listens"))
    }

    /// All the answer's messages, one after the other.
    pub(crate) async fn call(&self, method: &str, request: Bytes) -> Result<Bytes, Status> {
        let mut grpc = Grpc::new(self.0.clone()).max_decoding_message_size(1 << 28);
        grpc.ready().await.expect("the service listens");
        let path = format!("/alina.memory.v1.MemoryService/{method}").parse().expect("a path");
        let answer = grpc.server_streaming(Request::new(request), path, Raw).await?;
        let (mut stream, mut all) = (answer.into_inner(), Vec::new());
        while let Some(message) = stream.message().await? {
            all.extend_from_slice(&message);
        }
        Ok(all.into())
    }
}

/// A field of text somewhere in a request.
#[derive(Debug, Clone)]
pub(super) struct TextField {
    /// As errors call it, but for the places in lists: `facts.subject`.
    pub(super) name: String,
    /// Numbers of the fields on the way, the text's own last.
    way: Vec<u32>,
    /// Whether one of them is a list.
    pub(super) listed: bool,
}

impl TextField {
    /// What sets the field, or adds to its list, when it is put behind a request.
    pub(super) fn set(&self, text: &[u8]) -> Vec<u8> {
        let (last, outer) = self.way.split_last().expect("a field");
        let mut bytes = delimited(*last, text);
        for number in outer.iter().rev() {
            bytes = delimited(*number, &bytes);
        }
        bytes
    }

    /// The last part of its name.
    pub(super) fn own_name(&self) -> &str {
        self.name.rsplit('.').next().unwrap_or(&self.name)
    }
}

fn delimited(number: u32, content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encoding::encode_key(number, encoding::WireType::LengthDelimited, &mut bytes);
    encoding::encode_varint(content.len() as u64, &mut bytes);
    bytes.put_slice(content);
    bytes
}

/// All fields of text of all requests that are one message, by method.
pub(super) fn text_fields() -> BTreeMap<String, Vec<TextField>> {
    let files = FileDescriptorSet::decode(alina_proto::FILE_DESCRIPTOR_SET).expect("descriptors");
    let file = files.file.iter().find(|file| file.package() == "alina.memory.v1").expect("memory");
    let message = |name: &str| {
        let name = name.strip_prefix(".alina.memory.v1.")?;
        file.message_type.iter().find(|message| message.name() == name)
    };
    let mut fields = BTreeMap::new();
    for method in file.service[0].method.iter().filter(|method| !method.client_streaming()) {
        let mut of_method = Vec::new();
        let input = message(method.input_type()).expect("a message of this package");
        collect(input, &message, &TextField::root(), &mut of_method);
        fields.insert(method.name().to_owned(), of_method);
    }
    fields
}

impl TextField {
    fn root() -> Self {
        Self { name: String::new(), way: Vec::new(), listed: false }
    }
}

fn collect<'d>(
    of: &'d DescriptorProto,
    message: &impl Fn(&str) -> Option<&'d DescriptorProto>,
    at: &TextField,
    found: &mut Vec<TextField>,
) {
    for field in &of.field {
        let mut here = at.clone();
        let dot = if at.name.is_empty() { "" } else { "." };
        here.name = format!("{}{dot}{}", at.name, field.name());
        here.way.push(field.number().unsigned_abs());
        here.listed |= field.label() == Label::Repeated;
        match field.r#type() {
            Type::String => found.push(here),
            Type::Message => {
                if let Some(inner) = message(field.type_name()) {
                    collect(inner, message, &here, found);
                }
            }
            _ => {}
        }
    }
}
