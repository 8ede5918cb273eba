//! Packed persons, read in place.

use crate::packed::{PERSON, number, text};
use crate::result::{Field, Row};

/// Someone who sells and bids. Strings are bytes of the event they were read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Person<'a> {
    /// Who it is.
    pub id: u64,
    /// First name and last name.
    pub name: &'a [u8],
    /// Where to write to.
    pub email: &'a [u8],
    /// What is paid with.
    pub credit_card: &'a [u8],
    /// Where the person lives.
    pub city: &'a [u8],
    /// In which state that is, in two letters.
    pub state: &'a [u8],
    /// When the person was created, in milliseconds since 1970.
    pub date_time: u64,
    /// Anything.
    pub extra: &'a [u8],
}

impl<'a> Person<'a> {
    /// The person in a packed event, if it is one.
    #[inline]
    pub fn read(event: &'a [u8]) -> Option<Person<'a>> {
        let (&PERSON, rest) = event.split_first()? else { return None };
        let (id, rest) = number(rest)?;
        let (name, rest) = text(rest)?;
        let (email, rest) = text(rest)?;
        let (credit_card, rest) = text(rest)?;
        let (city, rest) = text(rest)?;
        let (state, rest) = text(rest)?;
        let (date_time, rest) = number(rest)?;
        let (extra, rest) = text(rest)?;
        rest.is_empty().then_some(Person { id, name, email, credit_card, city, state, date_time, extra })
    }
}

impl Row for Person<'_> {
    const KIND: Option<u8> = Some(PERSON);

    #[inline]
    fn each_field<'a>(&'a self, mut field: impl FnMut(&'static str, Field<'a>)) {
        field("\"id\":", Field::Number(self.id));
        field("\"name\":", Field::Text(self.name));
        field("\"email\":", Field::Text(self.email));
        field("\"creditCard\":", Field::Text(self.credit_card));
        field("\"city\":", Field::Text(self.city));
        field("\"state\":", Field::Text(self.state));
        field("\"dateTime\":", Field::Number(self.date_time));
        field("\"extra\":", Field::Text(self.extra));
    }
}
