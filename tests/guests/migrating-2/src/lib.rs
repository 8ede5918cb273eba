//! Version 2 of the operator that `fixture_kit::migrating` describes.

use fixture_kit::migrating::Migrating;

const MIGRATING: Migrating = Migrating { version: 2, oldest: 1 };

fixture_kit::export_migrating!(MIGRATING, |version, values| MIGRATING.migrate(version, &values));
