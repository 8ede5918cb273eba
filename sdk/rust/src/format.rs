//! Formats: how values become bytes. Chosen by type, for inputs, outputs and states.

use crate::frame::append;
use serde::{Serialize, de::DeserializeOwned};
use std::fmt;
use std::marker::PhantomData;

/// A format for the values of a stream or a state.
///
/// An operator names its formats as types: `type In = Json<Purchase>`. Implement `Format` with [`Decode`] or
/// [`Encode`] for a format of your own; values may borrow from the bytes they are read from.
pub trait Format: 'static {
    /// The format's name, as `inspect` shows it; a state keeps it for life.
    const NAME: &'static str;

    /// A value; `'a` is the life of the bytes it was read from.
    type Value<'a>;

    /// What a value looks like, in one line, or nothing.
    fn schema() -> String {
        String::new()
    }
}

/// A format that can be read.
pub trait Decode: Format {
    /// Reads a value from all of `bytes`.
    fn decode(bytes: &[u8]) -> Result<Self::Value<'_>, FormatError>;
}

/// A format that can be written.
pub trait Encode: Format {
    /// Appends a value to `bytes`.
    fn encode(value: &Self::Value<'_>, bytes: &mut Vec<u8>) -> Result<(), FormatError>;
}

/// A format that can be read as values of another type, as those that an older version of an operator has written.
pub trait DecodeAs<T>: Format {
    /// Reads a value of this type from all of `bytes`.
    fn decode_as(bytes: &[u8]) -> Result<T, FormatError>;
}

/// A format that can be written with values of another type, as an older version of an operator has done.
pub trait EncodeAs<T>: Format {
    /// Appends a value of this type to `bytes`.
    fn encode_as(value: &T, bytes: &mut Vec<u8>) -> Result<(), FormatError>;
}

/// JSON.
pub struct Json<T>(PhantomData<fn() -> T>);

/// MessagePack, with field names.
pub struct MsgPack<T>(PhantomData<fn() -> T>);

/// Postcard: compact, without field names, so a changed type needs a new schema version. The usual format of state.
pub struct Postcard<T>(PhantomData<fn() -> T>);

/// A number in little-endian bytes, all of them: the fastest format for counters in state.
pub struct Fixed<T>(PhantomData<fn() -> T>);

/// Bytes as they are. Not copied when read.
pub struct Raw;

/// Text in UTF-8. Not copied when read.
pub struct Text;

impl<T: 'static> Format for Json<T> {
    const NAME: &'static str = "json";
    type Value<'a> = T;

    fn schema() -> String {
        type_name::<T>()
    }
}

impl<T: DeserializeOwned + 'static> Decode for Json<T> {
    #[inline]
    fn decode(bytes: &[u8]) -> Result<T, FormatError> {
        serde_json::from_slice(bytes).map_err(FormatError::new::<Self>)
    }
}

impl<T: Serialize + 'static> Encode for Json<T> {
    #[inline]
    fn encode(value: &T, bytes: &mut Vec<u8>) -> Result<(), FormatError> {
        serde_json::to_writer(bytes, value).map_err(FormatError::new::<Self>)
    }
}

impl<T: 'static> Format for MsgPack<T> {
    const NAME: &'static str = "msgpack";
    type Value<'a> = T;

    fn schema() -> String {
        type_name::<T>()
    }
}

impl<T: DeserializeOwned + 'static> Decode for MsgPack<T> {
    #[inline]
    fn decode(bytes: &[u8]) -> Result<T, FormatError> {
        let mut rest = bytes;
        let value = rmp_serde::from_read(&mut rest).map_err(FormatError::new::<Self>)?;
        if rest.is_empty() { Ok(value) } else { Err(FormatError::new::<Self>(Trailing(rest.len()))) }
    }
}

impl<T: Serialize + 'static> Encode for MsgPack<T> {
    #[inline]
    fn encode(value: &T, bytes: &mut Vec<u8>) -> Result<(), FormatError> {
        rmp_serde::encode::write_named(bytes, value).map_err(FormatError::new::<Self>)
    }
}

impl<T: 'static> Format for Postcard<T> {
    const NAME: &'static str = "postcard";
    type Value<'a> = T;

    fn schema() -> String {
        type_name::<T>()
    }
}

impl<T: DeserializeOwned + 'static> Decode for Postcard<T> {
    #[inline]
    fn decode(bytes: &[u8]) -> Result<T, FormatError> {
        match postcard::take_from_bytes(bytes) {
            Ok((value, [])) => Ok(value),
            Ok((_, rest)) => Err(FormatError::new::<Self>(Trailing(rest.len()))),
            Err(error) => Err(FormatError::new::<Self>(error)),
        }
    }
}

impl<T: Serialize + 'static> Encode for Postcard<T> {
    #[inline]
    fn encode(value: &T, bytes: &mut Vec<u8>) -> Result<(), FormatError> {
        let mut serializer = postcard::Serializer { output: Append(bytes) };
        value.serialize(&mut serializer).map_err(FormatError::new::<Self>)
    }
}

/// Formats for every type that serde knows, and the numbers: in an older version the state had another one.
macro_rules! of_other_types {
    ($($format:ident)*) => {$(
        impl<T: 'static, U> DecodeAs<U> for $format<T>
        where
            $format<U>: Decode + for<'a> Format<Value<'a> = U>,
            Self: Format,
        {
            fn decode_as(bytes: &[u8]) -> Result<U, FormatError> {
                $format::<U>::decode(bytes)
            }
        }

        impl<T: 'static, U> EncodeAs<U> for $format<T>
        where
            $format<U>: Encode + for<'a> Format<Value<'a> = U>,
            Self: Format,
        {
            fn encode_as(value: &U, bytes: &mut Vec<u8>) -> Result<(), FormatError> {
                $format::<U>::encode(value, bytes)
            }
        }
    )*};
}

of_other_types!(Json MsgPack Postcard Fixed);

macro_rules! fixed {
    ($($number:ty),*) => {$(
        impl Format for Fixed<$number> {
            const NAME: &'static str = "fixed";
            type Value<'a> = $number;

            fn schema() -> String {
                type_name::<$number>()
            }
        }

        impl Decode for Fixed<$number> {
            #[inline]
            fn decode(bytes: &[u8]) -> Result<$number, FormatError> {
                let wrong_length = |_| FormatError::new::<Self>(WrongLength(bytes.len()));
                bytes.try_into().map(<$number>::from_le_bytes).map_err(wrong_length)
            }
        }

        impl Encode for Fixed<$number> {
            #[inline]
            fn encode(value: &$number, bytes: &mut Vec<u8>) -> Result<(), FormatError> {
                bytes.extend_from_slice(&value.to_le_bytes());
                Ok(())
            }
        }
    )*};
}

fixed!(u8, u16, u32, u64, u128, i8, i16, i32, i64, i128, f32, f64);

impl Format for Raw {
    const NAME: &'static str = "raw";
    type Value<'a> = &'a [u8];
}

impl Decode for Raw {
    #[inline]
    fn decode(bytes: &[u8]) -> Result<&[u8], FormatError> {
        Ok(bytes)
    }
}

impl Encode for Raw {
    #[inline]
    fn encode(value: &&[u8], bytes: &mut Vec<u8>) -> Result<(), FormatError> {
        bytes.extend_from_slice(value);
        Ok(())
    }
}

impl Format for Text {
    const NAME: &'static str = "text";
    type Value<'a> = &'a str;
}

impl Decode for Text {
    #[inline]
    fn decode(bytes: &[u8]) -> Result<&str, FormatError> {
        std::str::from_utf8(bytes).map_err(FormatError::new::<Self>)
    }
}

impl Encode for Text {
    #[inline]
    fn encode(value: &&str, bytes: &mut Vec<u8>) -> Result<(), FormatError> {
        bytes.extend_from_slice(value.as_bytes());
        Ok(())
    }
}

/// Bytes that are owned: for a state, `Value<Vec<u8>, Vec<u8>>`.
impl Format for Vec<u8> {
    const NAME: &'static str = "raw";
    type Value<'a> = Vec<u8>;
}

impl Decode for Vec<u8> {
    fn decode(bytes: &[u8]) -> Result<Vec<u8>, FormatError> {
        Ok(bytes.to_vec())
    }
}

impl Encode for Vec<u8> {
    fn encode(value: &Vec<u8>, bytes: &mut Vec<u8>) -> Result<(), FormatError> {
        bytes.extend_from_slice(value);
        Ok(())
    }
}

impl DecodeAs<Vec<u8>> for Vec<u8> {
    fn decode_as(bytes: &[u8]) -> Result<Vec<u8>, FormatError> {
        Ok(bytes.to_vec())
    }
}

impl EncodeAs<Vec<u8>> for Vec<u8> {
    fn encode_as(value: &Vec<u8>, bytes: &mut Vec<u8>) -> Result<(), FormatError> {
        bytes.extend_from_slice(value);
        Ok(())
    }
}

/// Bytes that are not what their format says, or a value that its format cannot hold.
#[derive(Debug)]
pub struct FormatError {
    format: &'static str,
    cause: Box<dyn std::error::Error + Send + Sync>,
}

impl FormatError {
    /// An error of format `F`.
    pub fn new<F: Format>(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> FormatError {
        FormatError { format: F::NAME, cause: cause.into() }
    }
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not valid {}: {}", self.format, self.cause)
    }
}

/// The cause is part of the text, so it is not given as the source again.
impl std::error::Error for FormatError {}

/// Bytes after the end of a value.
#[derive(Debug)]
struct Trailing(usize);

impl fmt::Display for Trailing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes after the end of the value", self.0)
    }
}

impl std::error::Error for Trailing {}

/// A number of another width.
#[derive(Debug)]
struct WrongLength(usize);

impl fmt::Display for WrongLength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes are not those of the number", self.0)
    }
}

impl std::error::Error for WrongLength {}

/// Lets postcard write straight behind the bytes that are there; its own `to_extend` goes byte by byte.
struct Append<'a>(&'a mut Vec<u8>);

impl postcard::ser_flavors::Flavor for Append<'_> {
    type Output = ();

    #[inline]
    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        append(self.0, bytes);
        Ok(())
    }

    #[inline]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// The type's name without the modules it lives in: moving a type is not a change of schema.
fn type_name<T>() -> String {
    let full = std::any::type_name::<T>();
    let mut name = String::with_capacity(full.len());
    for (at, part) in full.split_inclusive(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).enumerate() {
        debug_assert!(at == 0 || !name.is_empty());
        name.push_str(part.rsplit("::").next().unwrap_or(part));
    }
    name
}

#[cfg(test)]
mod tests {
    use super::{Decode, Encode, Fixed, Format, Json, MsgPack, Postcard, Raw, Text, type_name};
    use serde::{Deserialize, Serialize};
    use std::collections::BTreeMap;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Order {
        user: String,
        cents: i64,
        tags: Vec<Option<u8>>,
    }

    fn round_trip<F: Decode + Encode + for<'a> Format<Value<'a> = Order>>(value: &Order) {
        let mut bytes = b"before".to_vec();
        F::encode(value, &mut bytes).unwrap();
        assert_eq!(F::decode(&bytes[6..]).unwrap(), *value);
        assert!(F::decode(&bytes[6..bytes.len() - 1]).is_err());
        bytes.push(1);
        assert!(F::decode(&bytes[6..]).is_err());
    }

    #[test]
    fn values_survive_every_format() {
        let order = Order { user: "ann".into(), cents: -5, tags: vec![None, Some(3)] };
        round_trip::<Json<Order>>(&order);
        round_trip::<MsgPack<Order>>(&order);
        round_trip::<Postcard<Order>>(&order);
        assert_eq!(Raw::decode(b"ab").unwrap(), b"ab");
        assert_eq!(Fixed::<u16>::decode(&[1, 2]).unwrap(), 0x0201);
        assert!(Fixed::<u16>::decode(&[1, 2, 3]).is_err());
        assert_eq!(Text::decode(b"ab").unwrap(), "ab");
    }

    #[test]
    fn an_error_names_the_format() {
        assert_eq!(
            Json::<u32>::decode(b"x").unwrap_err().to_string(),
            "not valid json: expected value at line 1 column 1"
        );
        assert!(Text::decode(&[0xff]).unwrap_err().to_string().starts_with("not valid text: invalid utf-8"));
        assert_eq!(
            Postcard::<u8>::decode(&[1, 2]).unwrap_err().to_string(),
            "not valid postcard: 1 bytes after the end of the value"
        );
    }

    #[test]
    fn a_schema_does_not_name_modules() {
        assert_eq!(type_name::<BTreeMap<String, Vec<Order>>>(), "BTreeMap<String, Vec<Order>>");
        assert_eq!(type_name::<(u8, Option<&str>)>(), "(u8, Option<&str>)");
        assert_eq!(Postcard::<Order>::schema(), "Order");
    }
}
