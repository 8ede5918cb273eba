//! The arguments of `#[operator(...)]`.

use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Error, Ident, LitInt, LitStr, Path, Result, Token, bracketed};

/// What kind of operator a struct is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum World {
    Stateless,
    Keyed,
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
    pub(crate) migrate: Option<Path>,
}

impl Parse for Args {
    fn parse(input: ParseStream<'_>) -> Result<Args> {
        const WORLDS: &str = "say what the operator is: `stateless`, `keyed` or `aggregate`";
        let world: Ident = input.parse().map_err(|error| Error::new(error.span(), WORLDS))?;
        let mut args = Args {
            world: match world.to_string().as_str() {
                "stateless" => World::Stateless,
                "keyed" => World::Keyed,
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
                    World::Aggregate => "`inputs`, `version`, `oldest` or `migrate`",
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
        match name.to_string().as_str() {
            "version" => self.version = Some(value.parse()?),
            "oldest" => self.oldest = Some(value.parse()?),
            "migrate" => self.migrate = Some(value.parse()?),
            _ => return Ok(false),
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
        if let Some(literal) = &self.oldest {
            if self.migrate.is_none() {
                return Err(Error::new(literal.span(), "reading older versions needs `migrate = FUNCTION`"));
            }
            if oldest == 0 || oldest > version {
                return Err(Error::new(literal.span(), format!("`oldest` is from 1 to the version, {version}")));
            }
        }
        Ok(())
    }

    /// The version that is written and the oldest that is read.
    pub(crate) fn numbers(&self) -> Result<(u32, u32)> {
        let version = self.version.as_ref().map_or(Ok(1), LitInt::base10_parse)?;
        let oldest = match (&self.oldest, &self.migrate) {
            (Some(oldest), _) => oldest.base10_parse()?,
            (None, Some(_)) => 1,
            (None, None) => version,
        };
        Ok((version, oldest))
    }
}
