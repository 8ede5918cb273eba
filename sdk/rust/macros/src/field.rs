//! The attributes of an operator's fields.

use crate::args::{Versions, World};
use syn::{Attribute, Error, Field, Ident, LitBool, LitStr, Meta, Result, Type};

/// What a field is for.
pub(crate) enum Role {
    Plain,
    Config,
    State(State),
    Timer { processing: bool },
    Output,
    Metric,
}

/// What `#[state]` says.
pub(crate) struct State {
    pub(crate) rides: bool,
    pub(crate) ttl_ms: u64,
    /// `ttl-clock` and `ttl-refresh`, as far as the attribute says.
    pub(crate) options: Vec<(&'static str, String)>,
    pub(crate) versions: Versions,
}

/// Clocks that a time-to-live can follow.
const TTL_CLOCKS: [&str; 2] = ["processing", "event"];

/// What keeps an entry for another time-to-live.
const TTL_REFRESHES: [&str; 2] = ["write", "read-write"];

/// Takes the attribute that gives the field its role off the field.
pub(crate) fn take_role(field: &mut Field, world: World) -> Result<Role> {
    const ROLES: [&str; 5] = ["config", "state", "timer", "output", "metric"];
    let is_role = |attribute: &Attribute| ROLES.iter().any(|role| attribute.path().is_ident(role));
    let (roles, others): (Vec<_>, Vec<_>) = std::mem::take(&mut field.attrs).into_iter().partition(is_role);
    field.attrs = others;
    let attribute = match roles.as_slice() {
        [] => return Ok(Role::Plain),
        [attribute] => attribute,
        [_, second, ..] => return Err(Error::new_spanned(second, "a field has one role")),
    };
    let name = attribute.path().get_ident().expect("a role is one word").to_string();
    match name.as_str() {
        "state" => state(attribute, &field.ty, world).map(Role::State),
        "timer" => timer(attribute, world),
        _ => {
            attribute.meta.require_path_only()?;
            Ok(match name.as_str() {
                "config" => Role::Config,
                "output" => Role::Output,
                _ => Role::Metric,
            })
        }
    }
}

fn state(attribute: &Attribute, ty: &Type, world: World) -> Result<State> {
    match world {
        World::Keyed | World::ProcessWindow => {}
        World::Stateless => {
            return Err(Error::new_spanned(
                attribute,
                "a stateless operator keeps nothing: make it `#[operator(keyed)]`",
            ));
        }
        World::Aggregate => {
            return Err(Error::new_spanned(attribute, "an aggregate operator keeps its accumulator and nothing else"));
        }
    }
    let kind = last_name(ty).map(ToString::to_string);
    let is_value = match kind.as_deref() {
        Some("Value" | "Reducing" | "Aggregating") => true,
        Some("List" | "Map") => false,
        _ => {
            let kinds = "`Value<T>`, `Reducing<T>`, `Aggregating<F>`, `List<T>` or `Map<K, V>`";
            return Err(Error::new_spanned(ty, format!("a state is a {kinds}")));
        }
    };
    let mut state = State { rides: is_value, ttl_ms: 0, options: Vec::new(), versions: Versions::default() };
    if !matches!(attribute.meta, Meta::Path(_)) {
        attribute.parse_nested_meta(|meta| {
            let name = meta.path.require_ident()?;
            if name == "ttl" {
                state.ttl_ms = duration_ms(&meta.value()?.parse()?)?;
            } else if name == "ttl_clock" {
                state.options.push(("ttl-clock", word(&meta.value()?.parse()?, TTL_CLOCKS)?));
            } else if name == "ttl_refresh" {
                state.options.push(("ttl-refresh", word(&meta.value()?.parse()?, TTL_REFRESHES)?));
            } else if name == "rides" {
                if !is_value {
                    return Err(meta.error("only a single value can ride in the batch"));
                }
                state.rides = meta.value()?.parse::<LitBool>()?.value;
            } else if !state.versions.parse(name, meta.value()?)? {
                let known =
                    "`ttl`, `ttl_clock`, `ttl_refresh`, `rides`, `version`, `migrate_from`, `migrate` or `oldest`";
                return Err(meta.error(format!("expected {known}")));
            }
            Ok(())
        })?;
    }
    state.versions.check()?;
    if let ([(option, _), ..], 0) = (state.options.as_slice(), state.ttl_ms) {
        let option = option.replace('-', "_");
        return Err(Error::new_spanned(attribute, format!("`{option}` needs a time-to-live: `ttl = \"540d\"`")));
    }
    Ok(state)
}

fn timer(attribute: &Attribute, world: World) -> Result<Role> {
    if world != World::Keyed {
        return Err(Error::new_spanned(attribute, "only a keyed operator has timers: make it `#[operator(keyed)]`"));
    }
    let mut processing = false;
    if !matches!(attribute.meta, Meta::Path(_)) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("clock") {
                return Err(meta.error("expected `clock`"));
            }
            let clock: LitStr = meta.value()?.parse()?;
            processing = match clock.value().as_str() {
                "event" => false,
                "processing" => true,
                _ => return Err(Error::new(clock.span(), "a clock is \"event\" or \"processing\"")),
            };
            Ok(())
        })?;
    }
    Ok(Role::Timer { processing })
}

/// The last word of a type's path: `Value` of `tidewheel::Value<u64>`.
fn last_name(ty: &Type) -> Option<&Ident> {
    match ty {
        Type::Path(path) => path.path.segments.last().map(|segment| &segment.ident),
        _ => None,
    }
}

/// One of two words.
fn word(literal: &LitStr, [one, other]: [&str; 2]) -> Result<String> {
    let given = literal.value();
    if given == one || given == other {
        return Ok(given);
    }
    Err(Error::new(literal.span(), format!("expected \"{one}\" or \"{other}\"")))
}

/// Milliseconds of a duration such as `540d`.
fn duration_ms(literal: &LitStr) -> Result<u64> {
    let text = literal.value();
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let unit_ms = match unit {
        "ms" => Some(1),
        "s" => Some(1000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        "d" => Some(86_400_000u64),
        _ => None,
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(unit_ms?))
        .filter(|&ms| ms > 0)
        .ok_or_else(|| Error::new(literal.span(), "a duration is a number and `ms`, `s`, `m`, `h` or `d`: \"540d\""))
}
