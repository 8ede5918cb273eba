//! What the attribute says to someone who uses it wrongly, and a few properties of the code it writes.

use crate::expand::operator;
use proc_macro2::TokenStream;
use quote::quote;

fn error(args: TokenStream, item: TokenStream) -> String {
    operator(args, item).expect_err("this use is wrong").to_string()
}

fn code(args: TokenStream, item: TokenStream) -> String {
    operator(args, item).expect("this use is right").to_string()
}

#[test]
fn the_kind_of_operator_is_one_of_four() {
    let expected = "say what the operator is: `stateless`, `keyed`, `process_window` or `aggregate`";
    assert!(
        error(
            quote!(),
            quote!(
                struct A;
            )
        )
        .ends_with(expected)
    );
    assert_eq!(
        error(
            quote!(keyd),
            quote!(
                struct A;
            )
        ),
        expected
    );
    assert_eq!(
        error(
            quote!("keyed"),
            quote!(
                struct A;
            )
        ),
        expected
    );
    assert_eq!(
        error(
            quote!(keyed, input = 1),
            quote!(
                struct A;
            )
        ),
        "expected `inputs`"
    );
    assert_eq!(
        error(
            quote!(aggregate, ttl = 1),
            quote!(
                struct A;
            )
        ),
        "expected `inputs`, `version`, `oldest`, `migrate_from` or `migrate`"
    );
}

#[test]
fn an_operator_is_a_plain_struct() {
    assert_eq!(
        error(
            quote!(keyed),
            quote!(
                enum A {}
            )
        ),
        "an operator is a struct"
    );
    assert_eq!(
        error(
            quote!(keyed),
            quote!(
                struct A(u8);
            )
        ),
        "the fields of an operator have names"
    );
    assert_eq!(
        error(
            quote!(keyed),
            quote!(
                struct A<T> {
                    t: T,
                }
            )
        ),
        "an operator has no type or lifetime parameters"
    );
}

#[test]
fn state_belongs_to_keyed_operators() {
    let item = quote!(
        struct A {
            #[state]
            count: Value<u64>,
        }
    );
    assert_eq!(
        error(quote!(stateless), item.clone()),
        "a stateless operator keeps nothing: make it `#[operator(keyed)]`"
    );
    assert_eq!(error(quote!(aggregate), item), "an aggregate operator keeps its accumulator and nothing else");
    assert_eq!(
        error(
            quote!(stateless),
            quote!(
                struct A {
                    #[timer]
                    t: Timer,
                }
            )
        ),
        "only a keyed operator has timers: make it `#[operator(keyed)]`"
    );
}

#[test]
fn attributes_of_fields_are_checked() {
    let keyed = |field: TokenStream| error(quote!(keyed), quote!(struct A { #field }));
    for (field, expected) in [
        (quote!(#[state] a: u64), "a state is a `Value<T>`, `Reducing<T>`, `Aggregating<F>`, `List<T>` or `Map<K, V>`"),
        (quote!(#[state] #[config] a: Value<u64>), "a field has one role"),
        (quote!(#[config] a: C, #[config] b: C), "an operator has one `#[config]`"),
        (
            quote!(#[state(ttl = "540 days")] a: Value<u64>),
            "a duration is a number and `ms`, `s`, `m`, `h` or `d`: \"540d\"",
        ),
        (quote!(#[state(rides = true)] a: List<u64>), "only a single value can ride in the batch"),
        (
            quote!(#[state(time_to_live = "1d")] a: Value<u64>),
            "expected `ttl`, `ttl_clock`, `ttl_refresh`, `rides`, `version`, `migrate_from`, `migrate` or `oldest`",
        ),
        (quote!(#[state(version = 0)] a: Value<u64>), "versions count from 1"),
        (quote!(#[state(ttl = "1d", ttl_clock = "wall")] a: Value<u64>), "expected \"processing\" or \"event\""),
        (quote!(#[state(ttl = "1d", ttl_refresh = "read")] a: Value<u64>), "expected \"write\" or \"read-write\""),
        (quote!(#[state(ttl_refresh = "write")] a: Value<u64>), "`ttl_refresh` needs a time-to-live: `ttl = \"540d\"`"),
        (
            quote!(#[state(version = 2, oldest = 1)] a: Value<u64>),
            "reading older versions needs `migrate_from = [FUNCTION]` or `migrate = FUNCTION`",
        ),
        (
            quote!(#[state(version = 2, migrate_from = [f], migrate = g)] a: Value<u64>),
            "a state is migrated in one way: by `migrate_from` or by `migrate`",
        ),
        (
            quote!(#[state(version = 2, oldest = 1, migrate_from = f)] a: Value<u64>),
            "`oldest` goes without saying: `migrate_from` has a function for each older version",
        ),
        (
            quote!(#[state(version = 2, migrate_from = [f, g])] a: Value<u64>),
            "2 functions are more than there are versions before 2",
        ),
        (
            quote!(#[state(version = 2, migrate_from = [])] a: Value<u64>),
            "expected a function: `fn(OLD) -> Result<NEW>`",
        ),
        (quote!(#[state(version = 2, oldest = 3, migrate = f)] a: Value<u64>), "`oldest` is from 1 to the version, 2"),
        (quote!(#[timer(clock = "wall")] a: Timer), "a clock is \"event\" or \"processing\""),
        (quote!(#[timer(at = "wall")] a: Timer), "expected `clock`"),
    ] {
        assert_eq!(keyed(field), expected);
    }
    assert!(keyed(quote!(#[state(ttl = "99999999999999999999d")] a: Value<u64>)).starts_with("a duration is"));
}

#[test]
fn states_that_ride_come_first() {
    let code = code(
        quote!(keyed),
        quote! {
            struct A {
                #[state] list: List<u64>,
                #[state(rides = false)] large: Value<u64>,
                #[state(ttl = "2m", version = 3)] small: Value<u64>,
            }
        },
    );
    let order = ["visit (& mut self . small)", "visit (& mut self . list)", "visit (& mut self . large)"];
    let places = order.map(|visit| code.find(visit).expect("every state is visited"));
    assert!(places.is_sorted());
    assert!(code.contains("const STATES : u32 = 3u32 ; const RIDING : u32 = 1u32"));
    assert!(code.contains("name : \"small\" , ttl_ms : 120000u64 , version : 3u32 , oldest : 3u32 , rides : true"));
}

#[test]
fn options_and_versions_are_declared() {
    let code = code(
        quote!(keyed),
        quote! {
            struct A {
                #[state(ttl = "1s", ttl_clock = "event", version = 3, migrate_from = [f, g])] a: Value<u64>,
                #[state(version = 3, migrate = h, oldest = 2)] b: List<u64>,
            }
        },
    );
    assert!(code.contains("version : 3u32 , oldest : 1u32 , rides : true , options : & [(\"ttl-clock\" , \"event\")]"));
    assert!(code.contains("version : 3u32 , oldest : 2u32 , rides : false , options : & []"));
    let format = "< Value < u64 > as :: tidewheel :: __private :: StateItem > :: Format";
    let read = format!(":: tidewheel :: __private :: read_item :: < {format} , _ > (old) ?");
    assert!(code.contains("(state , version) == (0u32 , 1u32)"));
    assert!(code.contains(&format!("& g (f ({read}) ?) ?")), "{code}");
    assert!(code.contains(&format!("& g ({read}) ?")));
    assert!(code.contains("& h (version , old) ?"));
}

#[test]
fn attributes_of_fields_do_not_stay_on_the_struct() {
    let code = code(
        quote!(stateless),
        quote!(
            struct A {
                #[config]
                #[allow(dead_code)]
                config: C,
            }
        ),
    );
    assert!(code.starts_with("struct A { # [allow (dead_code)] config : C , }"), "{code}");
}
