//! Bindings of the contract, generated: one module per world. Nothing outside this crate names them.
//!
//! The worlds share their types and imports, so `stateless` and `aggregate` borrow those of `keyed`; an import that a
//! component does not call is left out of it.

#![allow(missing_docs, unreachable_pub, unsafe_code, clippy::all, reason = "generated code")]

pub mod keyed {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "keyed",
        pub_export_macro: true,
        export_macro_name: "export_keyed",
        default_bindings_module: "tidewheel::wit::keyed",
        runtime_path: "::tidewheel::__private::wit_bindgen::rt",
        generate_all,
    });
}

pub mod stateless {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "stateless",
        pub_export_macro: true,
        export_macro_name: "export_stateless",
        default_bindings_module: "tidewheel::wit::stateless",
        runtime_path: "::tidewheel::__private::wit_bindgen::rt",
        with: {
            "tidewheel:operator/types@0.1.0": super::keyed::tidewheel::operator::types,
            "tidewheel:operator/description@0.1.0": super::keyed::tidewheel::operator::description,
            "tidewheel:operator/log@0.1.0": super::keyed::tidewheel::operator::log,
            "tidewheel:operator/metrics@0.1.0": super::keyed::tidewheel::operator::metrics,
            "tidewheel:operator/http@0.1.0": super::keyed::tidewheel::operator::http,
        },
    });
}

pub mod aggregate {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "aggregate",
        pub_export_macro: true,
        export_macro_name: "export_aggregate",
        default_bindings_module: "tidewheel::wit::aggregate",
        runtime_path: "::tidewheel::__private::wit_bindgen::rt",
        with: {
            "tidewheel:operator/types@0.1.0": super::keyed::tidewheel::operator::types,
            "tidewheel:operator/description@0.1.0": super::keyed::tidewheel::operator::description,
            "tidewheel:operator/log@0.1.0": super::keyed::tidewheel::operator::log,
            "tidewheel:operator/metrics@0.1.0": super::keyed::tidewheel::operator::metrics,
            "tidewheel:operator/http@0.1.0": super::keyed::tidewheel::operator::http,
        },
    });
}
