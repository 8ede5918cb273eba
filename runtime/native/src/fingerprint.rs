//! What of a record says whether it tells anything new: the JSON text of some of its fields.

use crate::fields::Fields;
use tidewheel_types::JsonPointer;

/// The fields that count.
#[derive(Clone)]
pub struct Fingerprint {
    fields: Fields,
    places: Vec<usize>,
}

impl Fingerprint {
    /// Of the fields at these places.
    pub fn new<'p>(pointers: impl IntoIterator<Item = &'p JsonPointer>) -> Result<Fingerprint, String> {
        let mut fields = Fields::default();
        let places = pointers.into_iter().map(|pointer| fields.add(pointer)).collect::<Result<_, _>>()?;
        Ok(Fingerprint { fields, places })
    }

    /// Adds the texts of the fields of a record with this value, as they are written there, with commas between them;
    /// `null` for one that is not there. Or says why there is none, and `out` is as it was.
    pub fn write(&self, value: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        let found = self.fields.find(value)?;
        for (at, &place) in self.places.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            out.extend_from_slice(found[place].unwrap_or("null").as_bytes());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Fingerprint;
    use tidewheel_types::JsonPointer;

    #[test]
    fn it_is_the_text_of_the_fields_in_their_order() {
        let pointers = ["/b", "/a", "/c"].map(|text| JsonPointer::parse(text).unwrap());
        let fingerprint = Fingerprint::new(&pointers).unwrap();
        let mut out = b"[".to_vec();
        fingerprint.write(br#"{"a":"x","z":1,"b":1.0}"#, &mut out).unwrap();
        assert_eq!(out, br#"[1.0,"x",null"#);
        assert!(fingerprint.write(b"{", &mut out).is_err());
        assert_eq!(out, br#"[1.0,"x",null"#);
        let nothing = Fingerprint::new([]).unwrap();
        nothing.write(b"no JSON", &mut out).expect("no field is looked at");
    }
}
