//! The arguments of `#[operator(...)]`.

use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Error, Ident, LitInt, LitStr, Path, Result, Token, bracketed, token};

/// What kind of operator a struct is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum World {
    Stateless,
    Keyed,
    /// World `keyed` too, called with windows.
    ProcessWindow,
    Aggregate,
}

/// The arguments.
pub(crate) struct Args {
    pub(crate) world: World,
    pub(crate) inputs: Vec<LitStr>,
    /// Versions of the accumulator.
    pub(crate) versions: Versions,
}

/// The schema version of a state, and how older ones are read.
#[derive(Default)]
pub(crate) struct Versions {
    pub(crate) version: Option<LitInt>,
    pub(crate) oldest: Option<LitInt>,
    pub(crate) migration: Option<Migration>,
}

/// How values of older versions become those of the newest.
pub(crate) enum Migration {
    /// `migrate = FUNCTION`: of a version and bytes.
    Bytes(Path),
    /// `migrate_from = [FUNCTION, …]`: each from one version to the next, the last to the newest.
    Steps(Vec<Path>),
}

impl Parse for Args {
    fn parse(input: ParseStream<'_>) -> Result<Args> {
        const WORLDS: &str = "say what the operator is: `stateless`, `keyed`, `process_window` or `aggregate`";
        let world: Ident = input.parse().map_err(|error| Error::new(error.span(), WORLDS))?;
        let mut args = Args {
            world: match world.to_string().as_str() {
                "stateless" => World::Stateless,
                "keyed" => World::Keyed,
                "process_window" => World::ProcessWindow,
                "aggregate" => World::Aggregate,
                _ => return Err(Error::new(world.span(), WORLDS)),
            },
            inputs: Vec::new(),
            versions: Versions::default(),
        };
        while !input.is_empty() {
            input.parse::<Token![,]>()?;
            if input.is_empty() {
                break;
            }
            let name: Ident = input.parse()?;
            input.parse::<Token![=]>()?;
            if name == "inputs" {
                let names;
                bracketed!(names in input);
                args.inputs = Punctuated::<LitStr, Token![,]>::parse_terminated(&names)?.into_iter().collect();
            } else if args.world != World::Aggregate || !args.versions.parse(&name, input)? {
                let known = match args.world {
                    World::Aggregate => "`inputs`, `version`, `oldest`, `migrate_from` or `migrate`",
                    _ => "`inputs`",
                };
                return Err(Error::new(name.span(), format!("expected {known}")));
            }
        }
        args.versions.check()?;
        Ok(args)
    }
}

impl Versions {
    /// Reads the value of the argument `name`; false when it is not one of these.
    pub(crate) fn parse(&mut self, name: &Ident, value: ParseStream<'_>) -> Result<bool> {
        let migration = match name.to_string().as_str() {
            "version" => {
                self.version = Some(value.parse()?);
                return Ok(true);
            }
            "oldest" => {
                self.oldest = Some(value.parse()?);
                return Ok(true);
            }
            "migrate" => Migration::Bytes(value.parse()?),
            "migrate_from" => Migration::Steps(steps(value)?),
            _ => return Ok(false),
        };
        if self.migration.replace(migration).is_some() {
            return Err(Error::new(name.span(), "a state is migrated in one way: by `migrate_from` or by `migrate`"));
        }
        Ok(true)
    }

    /// Whether the arguments fit each other.
    pub(crate) fn check(&self) -> Result<()> {
        let (version, oldest) = self.numbers()?;
        if let Some(literal) = &self.version
            && version == 0
        {
            return Err(Error::new(literal.span(), "versions count from 1"));
        }
        if let Some(Migration::Steps(steps)) = &self.migration {
            return self.check_steps(steps, version);
        }
        if let Some(literal) = &self.oldest {
            if self.migration.is_none() {
                let message = "reading older versions needs `migrate_from = [FUNCTION]` or `migrate = FUNCTION`";
                return Err(Error::new(literal.span(), message));
            }
            if oldest == 0 || oldest > version {
                return Err(Error::new(literal.span(), format!("`oldest` is from 1 to the version, {version}")));
            }
        }
        Ok(())
    }

    fn check_steps(&self, steps: &[Path], version: u32) -> Result<()> {
        if let Some(literal) = &self.oldest {
            let message = "`oldest` goes without saying: `migrate_from` has a function for each older version";
            return Err(Error::new(literal.span(), message));
        }
        match steps {
            [first, ..] if steps.len() as u64 >= u64::from(version) => {
                let message = format!("{} functions are more than there are versions before {version}", steps.len());
                Err(Error::new(first.span(), message))
            }
            _ => Ok(()),
        }
    }

    /// The version that is written and the oldest that is read.
    pub(crate) fn numbers(&self) -> Result<(u32, u32)> {
        let version: u32 = self.version.as_ref().map_or(Ok(1), LitInt::base10_parse)?;
        let oldest = match (&self.oldest, &self.migration) {
            (Some(oldest), _) => oldest.base10_parse()?,
            (None, Some(Migration::Bytes(_))) => 1,
            (None, Some(Migration::Steps(steps))) => version.saturating_sub(steps.len() as u32),
            (None, None) => version,
        };
        Ok((version, oldest))
    }
}

/// One function, or some in brackets.
fn steps(value: ParseStream<'_>) -> Result<Vec<Path>> {
    if !value.peek(token::Bracket) {
        return Ok(vec![value.parse()?]);
    }
    let list;
    let brackets = bracketed!(list in value);
    let paths = Punctuated::<Path, Token![,]>::parse_terminated(&list)?;
    if paths.is_empty() {
        return Err(Error::new(brackets.span.join(), "expected a function: `fn(OLD) -> Result<NEW>`"));
    }
    Ok(paths.into_iter().collect())
}
