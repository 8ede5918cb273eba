//! What the operators of this example share: a purchase, and money.

mod cents;

pub use cents::Cents;

use serde::{Deserialize, Serialize};

/// A purchase, as a row of `purchases.csv` comes in. When it was made is the record's event time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Purchase {
    /// Who bought.
    pub customer_id: String,
    /// How many CDs.
    pub number_of_cds: u32,
    /// For how much.
    pub dollar_value: Cents,
}
