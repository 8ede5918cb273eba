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
    pub(crate) versions: Versions,
}

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
        World::Keyed => {}
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
        Some("Value") => true,
        Some("List" | "Map") => false,
        _ => return Err(Error::new_spanned(ty, "a state is a `Value<T>`, a `List<T>` or a `Map<K, V>`")),
    };
    let mut state = State { rides: is_value, ttl_ms: 0, versions: Versions::default() };
    if !matches!(attribute.meta, Meta::Path(_)) {
        attribute.parse_nested_meta(|meta| {
            let name = meta.path.require_ident()?;
            if name == "ttl" {
                state.ttl_ms = duration_ms(&meta.value()?.parse()?)?;
            } else if name == "rides" {
                if !is_value {
                    return Err(meta.error("only a `Value` can ride in the batch"));
                }
                state.rides = meta.value()?.parse::<LitBool>()?.value;
            } else if !state.versions.parse(name, meta.value()?)? {
                return Err(meta.error("expected `ttl`, `rides`, `version`, `oldest` or `migrate`"));
            }
            Ok(())
        })?;
    }
    state.versions.check()?;
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
