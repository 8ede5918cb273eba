//! What can be computed of a record's fields: expressions of the Common Expression Language.
//!
//! A name stands for the field of that name, `seller.city` for `/seller/city`; what is not there is `null`. Only the places
//! that an expression names are read out of a record. It is parsed once, and what cannot be evaluated whatever the record
//! is found then: functions that there are not, and loops within loops. So evaluating ends, after at most the square of the
//! record's length: where a macro over one list looks into another.

use crate::fields::{Fields, Found};
use crate::scalar::{self, Scalar};
use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators};
use cel::common::functions::Function;
use cel::common::types::{
    CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelUInt, DYN_TYPE,
};
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;
use cel::objects::Key;
use cel::parser::Parser;
use cel::{Context, Env, ExecutionError, Value};
use serde_json::value::RawValue;
use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use tidewheel_types::JsonPointer;

/// The functions there are, beside operators: those of the standard that need no types or times.
const FUNCTIONS: [&str; 9] = ["size", "contains", "startsWith", "endsWith", "int", "uint", "double", "string", "bool"];

/// Operators that compare, and what is called in their place: for its own the library makes the text of an error each time,
/// which takes ten times as long as comparing.
const COMPARISONS: [(&str, &str, Function); 4] = [
    (operators::LESS, "@less", |args| compare(&args, Ordering::is_lt)),
    (operators::LESS_EQUALS, "@less-equals", |args| compare(&args, Ordering::is_le)),
    (operators::GREATER, "@greater", |args| compare(&args, Ordering::is_gt)),
    (operators::GREATER_EQUALS, "@greater-equals", |args| compare(&args, Ordering::is_ge)),
];

/// Nested lists and objects of a value, at most.
const DEPTH_MAX: usize = 100;

/// An expression over the places of a [`Fields`].
pub(crate) struct Expression {
    /// Its places have become variables called `@NUMBER`.
    tree: IdedExpr,
    places: Vec<usize>,
    env: Arc<Env>,
}

impl Expression {
    /// Reads an expression; the places that it names are added to `fields`.
    pub(crate) fn parse(text: &str, fields: &mut Fields) -> Result<Expression, String> {
        let parsed = Parser::new().parse(text).map_err(|errors| match errors.errors.first() {
            Some(error) => format!("{text:?} is not an expression: column {}: {}", error.pos.1, error.msg),
            None => format!("{text:?} is not an expression"),
        });
        let mut tree = parsed?;
        let mut names = Names { fields, places: Vec::new() };
        place(&mut tree, &[], &mut names).map_err(|reason| format!("{text:?}: {reason}"))?;
        let places = names.places;
        let mut env = Env::stdlib();
        for (_, name, function) in COMPARISONS {
            env.add_overload(name, name, vec![DYN_TYPE, DYN_TYPE], function).expect("no other is called so");
        }
        Ok(Expression { tree, places, env: Arc::new(env) })
    }

    /// The places that it computes with.
    pub(crate) fn places(&self) -> &[usize] {
        &self.places
    }

    /// The number of the place that it stands for, if it is a name and nothing else.
    pub(crate) fn as_place(&self) -> Option<usize> {
        match &self.tree.expr {
            Expr::Ident(name) => number_of(name),
            _ => None,
        }
    }

    /// Its value of a record.
    pub(crate) fn evaluate(&self, record: &Record<'_>) -> Result<Value, String> {
        let mut context = Context::with_env(self.env.clone());
        context.set_variable_resolver(record);
        Value::resolve(&self.tree, &context).map_err(reason)
    }
}

/// The fields of a record, as expressions see them.
pub(crate) struct Record<'v> {
    values: Vec<Box<dyn Val + 'v>>,
}

impl<'v> Record<'v> {
    /// The values of what was found at some `places` of a [`Fields`].
    pub(crate) fn new(found: &Found<'v>, places: &[usize]) -> Result<Record<'v>, String> {
        let mut values: Vec<Box<dyn Val + 'v>> = Vec::with_capacity(found.len());
        values.resize_with(found.len(), || Box::new(CelNull));
        for &place in places {
            if let Some(json) = found[place] {
                values[place] = value(json, 0)?;
            }
        }
        Ok(Record { values })
    }
}

impl VariableResolver for Record<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        self.values.get(number_of(variable)?).map(|value| CowVal::Borrowed(value.as_ref()))
    }
}

/// The number of the place that a variable stands for.
fn number_of(variable: &str) -> Option<usize> {
    variable.strip_prefix('@')?.parse().ok()
}

/// The places that are named in an expression.
struct Names<'f> {
    fields: &'f mut Fields,
    places: Vec<usize>,
}

/// Puts variables in the place of names, but for those that a macro has `bound`; refuses what cannot be evaluated.
fn place(tree: &mut IdedExpr, bound: &[String], names: &mut Names<'_>) -> Result<(), String> {
    if let Some(pointer) = pointer(&tree.expr, bound) {
        let is_test = matches!(&tree.expr, Expr::Select(select) if select.test);
        let number = names.fields.add(&JsonPointer::parse(&pointer)?)?;
        names.places.push(number);
        let variable = Expr::Ident(format!("@{number}"));
        tree.expr = if is_test { is_there(variable) } else { variable };
        return Ok(());
    }
    match &mut tree.expr {
        Expr::Ident(_) | Expr::Literal(_) => Ok(()),
        Expr::Select(select) => place(&mut select.operand, bound, names),
        Expr::List(list) => list.elements.iter_mut().try_for_each(|element| place(element, bound, names)),
        Expr::Map(map) => map.entries.iter_mut().try_for_each(|entry| match &mut entry.expr {
            EntryExpr::MapEntry(entry) => {
                place(&mut entry.key, bound, names)?;
                place(&mut entry.value, bound, names)
            }
            EntryExpr::StructField(field) => place(&mut field.value, bound, names),
        }),
        Expr::Call(call) => {
            check_function(&call.func_name)?;
            if let Some((_, name, _)) = COMPARISONS.iter().find(|(operator, ..)| *operator == call.func_name) {
                call.func_name = (*name).to_owned();
            }
            call.target.iter_mut().try_for_each(|target| place(target, bound, names))?;
            call.args.iter_mut().try_for_each(|argument| place(argument, bound, names))
        }
        Expr::Comprehension(each) => {
            if !bound.is_empty() {
                return Err("a macro within a macro is not offered".to_owned());
            }
            if matches!(each.accu_init.expr, Expr::List(_)) {
                return Err("of the macros there are has, all, exists and exists_one".to_owned());
            }
            place(&mut each.iter_range, bound, names)?;
            let bound = [Some(&each.iter_var), each.iter_var2.as_ref(), Some(&each.accu_var)];
            let bound: Vec<String> = bound.into_iter().flatten().cloned().collect();
            let parts = [&mut each.accu_init, &mut each.loop_cond, &mut each.loop_step, &mut each.result];
            parts.into_iter().try_for_each(|part| place(part, &bound, names))
        }
        Expr::Struct(made) => Err(format!("there is no type {:?}", made.type_name)),
        Expr::Unspecified => Err("something is left out".to_owned()),
    }
}

/// The JSON pointer that a name such as `a.b` stands for, also one in `has(a.b)`.
fn pointer(expr: &Expr, bound: &[String]) -> Option<String> {
    match expr {
        Expr::Ident(name) if bound.contains(name) || name.starts_with('@') => None,
        Expr::Ident(name) => Some(format!("/{name}")),
        Expr::Select(select) if !matches!(&select.operand.expr, Expr::Select(inner) if inner.test) => {
            let field = select.field.replace('~', "~0").replace('/', "~1");
            Some(format!("{}/{field}", pointer(&select.operand.expr, bound)?))
        }
        _ => None,
    }
}

/// `variable != null`.
fn is_there(variable: Expr) -> Expr {
    let argument = |expr| IdedExpr { id: 0, expr };
    Expr::Call(CallExpr {
        func_name: operators::NOT_EQUALS.to_owned(),
        target: None,
        args: vec![argument(variable), argument(Expr::Literal(LiteralValue::Null))],
    })
}

fn check_function(name: &str) -> Result<(), String> {
    // Operators are called by names that nobody can write.
    let is_operator = !name.starts_with(|first: char| first.is_ascii_alphabetic());
    match is_operator || FUNCTIONS.contains(&name) {
        true => Ok(()),
        false => Err(format!("there is no function {name:?}: there are {}", FUNCTIONS.join(", "))),
    }
}

/// Whether the order of two values `is` as it should be.
fn compare<'b, 'v>(args: &[CowVal<'b, 'v>], is: fn(Ordering) -> bool) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let [left, right] = args else { return Err(ExecutionError::invalid_argument_count(2, args.len())) };
    let order = match left.as_comparer() {
        Some(left) => left.compare(right.as_ref())?,
        None => {
            let value = |of: &CowVal<'_, '_>| Value::try_from(of.as_ref()).unwrap_or(Value::Null);
            return Err(ExecutionError::ValuesNotComparable(value(left), value(right)));
        }
    };
    Ok(CowVal::owned(CelBool::from(is(order))))
}

/// A JSON value as expressions see it.
fn value<'v>(json: &'v str, depth: usize) -> Result<Box<dyn Val + 'v>, String> {
    if depth > DEPTH_MAX {
        return Err(format!("a value is nested more than {DEPTH_MAX} deep"));
    }
    let not_json = |error: serde_json::Error| format!("not JSON: {error}");
    Ok(match json.as_bytes().first() {
        Some(b'n') => Box::new(CelNull),
        Some(b't' | b'f') => Box::new(CelBool::from(json == "true")),
        Some(b'[') => {
            let elements: Vec<&RawValue> = serde_json::from_str(json).map_err(not_json)?;
            let elements = elements.into_iter().map(|element| value(element.get(), depth + 1));
            Box::new(CelList::from(elements.collect::<Result<Vec<_>, _>>()?))
        }
        Some(b'{') => {
            let fields: BTreeMap<String, &RawValue> = serde_json::from_str(json).map_err(not_json)?;
            let fields =
                fields.into_iter().map(|(name, json)| Ok((CelMapKey::from(name), value(json.get(), depth + 1)?)));
            Box::new(CelMap::from(fields.collect::<Result<HashMap<_, _>, String>>()?))
        }
        _ => match Scalar::parse(json).map_err(|found| format!("cannot compute with {found}"))? {
            Scalar::Text(text) => Box::new(CelString::from(text)),
            Scalar::Float(number) => Box::new(CelDouble::from(number)),
            Scalar::Integer(number) => match i64::try_from(number) {
                Ok(number) => Box::new(CelInt::from(number)),
                Err(_) => Box::new(CelUInt::from(number as u64)),
            },
        },
    })
}

/// Adds the value of an expression as JSON.
pub(crate) fn write(value: &Value, out: &mut Vec<u8>) -> Result<(), String> {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(flag) => out.extend_from_slice(if *flag { b"true" } else { b"false" }),
        Value::Int(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Value::UInt(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Value::Float(number) if number.is_finite() => scalar::write_float(*number, out),
        Value::Float(number) => return Err(format!("gives {number}, which JSON has no word for")),
        Value::String(text) => scalar::write_text(text, out),
        Value::List(elements) => {
            out.push(b'[');
            for (at, element) in elements.iter().enumerate() {
                separate(at, out);
                write(element, out)?;
            }
            out.push(b']');
        }
        Value::Map(map) => {
            // In the order of their names: a map has none of its own, and what is made of a record is always the same.
            let fields: BTreeMap<String, &Value> = map.map.iter().map(|(key, value)| (name_of(key), value)).collect();
            out.push(b'{');
            for (at, (name, value)) in fields.into_iter().enumerate() {
                separate(at, out);
                scalar::write_text(&name, out);
                out.push(b':');
                write(value, out)?;
            }
            out.push(b'}');
        }
        other => return Err(format!("gives {}, which JSON has no form for", other.type_of())),
    }
    Ok(())
}

fn separate(at: usize, out: &mut Vec<u8>) {
    if at > 0 {
        out.push(b',');
    }
}

fn name_of(key: &Key) -> String {
    match key {
        Key::Int(number) => number.to_string(),
        Key::Uint(number) => number.to_string(),
        Key::Bool(flag) => flag.to_string(),
        Key::String(text) => text.to_string(),
    }
}

/// Why an expression has no value, in our words where the library's show its insides.
fn reason(error: ExecutionError) -> String {
    match error {
        ExecutionError::UnsupportedBinaryOperator(operator, left, right) => {
            format!("cannot compute {operator} of {} and {}", left.type_of(), right.type_of())
        }
        ExecutionError::ValuesNotComparable(left, right) => {
            format!("cannot compare {} with {}", left.type_of(), right.type_of())
        }
        ExecutionError::Overflow(operator, ..) => format!("{operator} goes beyond 64 bits"),
        ExecutionError::DivisionByZero(_) => "division by zero".to_owned(),
        ExecutionError::RemainderByZero(_) => "remainder of a division by zero".to_owned(),
        other => {
            let mut text = other.to_string();
            text.get_mut(..1).into_iter().for_each(str::make_ascii_lowercase);
            text
        }
    }
}
