//! The code that `#[operator]` writes.

use crate::args::{Args, Migration, World};
use crate::field::{Role, State, take_role};
use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{Error, Fields, Ident, Item, ItemStruct, Path, Result, Type};

/// The attribute: arguments and item in, item and implementation out.
pub(crate) fn operator(args: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let args: Args = syn::parse2(args)?;
    let mut item = match syn::parse2::<Item>(item)? {
        Item::Struct(item) => item,
        other => return Err(Error::new_spanned(other, "an operator is a struct")),
    };
    if !item.generics.params.is_empty() {
        return Err(Error::new_spanned(&item.generics, "an operator has no type or lifetime parameters"));
    }
    let fields = take_fields(&mut item, args.world)?;
    let implementation = implement(&item.ident, &args, &fields)?;
    let (name, export) = (&item.ident, export(&item.ident, args.world));
    // Natively nothing calls the component; the constant says that the operator is used all the same.
    Ok(quote! {
        #item
        #implementation
        const _: fn(&str) -> ::tidewheel::Result<#name> = <#name as ::tidewheel::Operator>::create;
        #export
    })
}

/// A field and its role.
struct RoleField {
    name: Ident,
    ty: Type,
    role: Role,
}

fn take_fields(item: &mut ItemStruct, world: World) -> Result<Vec<RoleField>> {
    let fields = match &mut item.fields {
        Fields::Named(fields) => &mut fields.named,
        Fields::Unit => return Ok(Vec::new()),
        Fields::Unnamed(fields) => return Err(Error::new_spanned(fields, "the fields of an operator have names")),
    };
    let mut taken: Vec<RoleField> = Vec::new();
    for field in fields {
        let role = take_role(field, world)?;
        let name = field.ident.clone().expect("named fields have names");
        if matches!(role, Role::Config) && taken.iter().any(|field| matches!(field.role, Role::Config)) {
            return Err(Error::new_spanned(name, "an operator has one `#[config]`"));
        }
        taken.push(RoleField { name, ty: field.ty.clone(), role });
    }
    Ok(taken)
}

/// States in the order of the contract: those that ride come first.
fn ordered_states(fields: &[RoleField]) -> Vec<(&RoleField, &State)> {
    let mut states: Vec<_> = fields
        .iter()
        .filter_map(|field| match &field.role {
            Role::State(state) => Some((field, state)),
            _ => None,
        })
        .collect();
    states.sort_by_key(|(_, state)| !state.rides);
    states
}

fn implement(name: &Ident, args: &Args, fields: &[RoleField]) -> Result<TokenStream> {
    let (role, world) = match args.world {
        World::Stateless => (quote!(Stateless), quote!(StatelessWorld)),
        World::Keyed => (quote!(Keyed), quote!(KeyedWorld)),
        World::ProcessWindow => (quote!(ProcessWindow), quote!(ProcessWindowWorld)),
        World::Aggregate => (quote!(Aggregate), quote!(AggregateWorld)),
    };
    let states = ordered_states(fields);
    let (count, riding) = match args.world {
        World::Aggregate => (1, 1),
        _ => (states.len() as u32, states.iter().filter(|(_, state)| state.rides).count() as u32),
    };
    let parts =
        (args.world == World::ProcessWindow).then(|| quote!(+ !<#name as ::tidewheel::ProcessWindow>::IN_PARTS as u32));
    let declarations = declare(args, fields, &states)?;
    let creation = create(fields, &states);
    let migrations = migrate(args, &states)?;
    let visits = states.iter().map(|(field, _)| &field.name);
    let output = quote_spanned!(name.span() => <#name as ::tidewheel::#role>::Out);
    Ok(quote! {
        impl ::tidewheel::Operator for #name {
            type World = ::tidewheel::__private::#world;
            type Output = #output;
            const STATES: u32 = #count #parts;
            const RIDING: u32 = #riding;

            fn declare() -> ::tidewheel::__private::Declarations {
                #declarations
            }

            fn create(config: &str) -> ::tidewheel::Result<Self> {
                #creation
            }

            #[inline(always)]
            fn each_state(&mut self, mut visit: impl FnMut(&mut dyn ::tidewheel::__private::StateField)) {
                #(visit(&mut self.#visits);)*
                let _ = &mut visit;
            }

            fn migrate(state: u32, version: u32, old: &[u8], new: &mut Vec<u8>) -> ::tidewheel::Result<()> {
                let _ = (old, &new);
                #migrations
            }
        }
    })
}

fn declare(args: &Args, fields: &[RoleField], states: &[(&RoleField, &State)]) -> Result<TokenStream> {
    let inputs = &args.inputs;
    let mut state_declarations = Vec::new();
    for (field, state) in states {
        let ((version, oldest), ty, name) = (state.versions.numbers()?, &field.ty, field.name.to_string());
        let (ttl_ms, rides) = (state.ttl_ms, state.rides);
        let options = state.options.iter().map(|(name, value)| quote!((#name, #value)));
        state_declarations.push(quote! {
            <#ty as ::tidewheel::__private::StateField>::declare(::tidewheel::__private::StateOptions {
                name: #name, ttl_ms: #ttl_ms, version: #version, oldest: #oldest, rides: #rides,
                options: &[#(#options),*],
            })
        });
    }
    if args.world == World::Aggregate {
        let (version, oldest) = args.versions.numbers()?;
        state_declarations.push(quote! {
            ::tidewheel::__private::declare_accumulator::<Self>(::tidewheel::__private::StateOptions {
                name: "accumulator", ttl_ms: 0, version: #version, oldest: #oldest, rides: true,
                options: &[],
            })
        });
    }
    // Last of all: it does not ride.
    let parts = (args.world == World::ProcessWindow).then(|| {
        quote! {
            if !<Self as ::tidewheel::ProcessWindow>::IN_PARTS {
                declared.states.push(::tidewheel::__private::declare_parts());
            }
        }
    });
    let outputs = fields.iter().filter(|field| matches!(field.role, Role::Output)).map(|field| {
        let (ty, name) = (&field.ty, field.name.to_string());
        quote!(<#ty>::port(#name))
    });
    let timers = declare_timers(args.world, fields);
    Ok(quote! {
        #[allow(unused_mut)]
        let mut declared = ::tidewheel::__private::Declarations {
            name: env!("CARGO_PKG_NAME"),
            version: env!("CARGO_PKG_VERSION"),
            inputs: &[#(#inputs),*],
            outputs: vec![#(#outputs),*],
            states: vec![#(#state_declarations),*],
            timers: vec![#(#timers),*],
        };
        #parts
        declared
    })
}

/// A keyed operator that names no timer has one, for `Context::timer_at`.
fn declare_timers(world: World, fields: &[RoleField]) -> Vec<TokenStream> {
    let timer = |name: &str, processing: bool| {
        let clock = if processing { quote!(Processing) } else { quote!(Event) };
        quote! {
            ::tidewheel::__private::TimerDecl { name: #name.into(), clock: ::tidewheel::__private::Clock::#clock }
        }
    };
    let mut timers: Vec<_> = fields
        .iter()
        .filter_map(|field| match field.role {
            Role::Timer { processing } => Some(timer(&field.name.to_string(), processing)),
            _ => None,
        })
        .collect();
    if timers.is_empty() && world == World::Keyed {
        timers.push(timer("timer", false));
    }
    timers
}

fn create(fields: &[RoleField], states: &[(&RoleField, &State)]) -> TokenStream {
    let (mut timers, mut outputs) = (0u16, 0u8);
    let makers = fields.iter().map(|RoleField { name, ty, role }| {
        let maker = match role {
            Role::Plain => quote!(::core::default::Default::default()),
            Role::Config => quote!(::tidewheel::__private::parse_config(config)?),
            Role::State(state) => {
                let index = states.iter().position(|(field, _)| field.name == *name).expect("it is a state") as u32;
                let rides = state.rides;
                quote!(<#ty as ::tidewheel::__private::StateField>::new(#index, #rides))
            }
            Role::Timer { .. } => {
                timers += 1;
                let slot = timers - 1;
                quote!(::tidewheel::Timer::at(#slot))
            }
            Role::Output => {
                outputs += 1;
                quote!(<#ty>::at(#outputs))
            }
            Role::Metric => {
                let metric = name.to_string();
                quote!(<#ty as ::tidewheel::__private::Metric>::define(#metric))
            }
        };
        quote!(#name: #maker)
    });
    let made = quote!(Ok(Self { #(#makers),* }));
    if fields.iter().any(|field| matches!(field.role, Role::Config)) {
        return made;
    }
    quote! {
        ::tidewheel::__private::refuse_config(config)?;
        #made
    }
}

fn migrate(args: &Args, states: &[(&RoleField, &State)]) -> Result<TokenStream> {
    let mut arms = Vec::new();
    for (index, (field, state)) in states.iter().enumerate() {
        let Some(migration) = &state.versions.migration else { continue };
        let (ty, index, (newest, _)) = (&field.ty, index as u32, state.versions.numbers()?);
        arms.push(migrate_state(migration, newest, index, &quote!(<#ty as ::tidewheel::__private::StateItem>::Format)));
    }
    if let Some(migration) = &args.versions.migration {
        let format = quote!(::tidewheel::Postcard::<<Self as ::tidewheel::Aggregate>::Acc>);
        arms.push(migrate_state(migration, args.versions.numbers()?.0, 0, &format));
    }
    Ok(quote! {
        let _ = (state, version);
        #(#arms)*
        ::tidewheel::__private::no_migration::<Self>(state, version)
    })
}

/// Migrates the values of one state, which is kept in `format`.
fn migrate_state(migration: &Migration, newest: u32, index: u32, format: &TokenStream) -> TokenStream {
    let write = |value: TokenStream| quote!(return ::tidewheel::__private::write_item::<#format>(&#value, new););
    match migration {
        Migration::Bytes(path) => {
            let write = write(quote!(#path(version, old)?));
            quote!(if state == #index { #write })
        }
        Migration::Steps(steps) => {
            let arms = (0..steps.len()).map(|first| {
                let (version, write) = (newest - (steps.len() - first) as u32, write(chain(&steps[first..], format)));
                quote!(if (state, version) == (#index, #version) { #write })
            });
            quote!(#(#arms)*)
        }
    }
}

/// The newest value, by a function from each version to the next. What each takes says what is read.
fn chain(steps: &[Path], format: &TokenStream) -> TokenStream {
    let old = quote!(::tidewheel::__private::read_item::<#format, _>(old)?);
    steps.iter().fold(old, |value, step| quote!(#step(#value)?))
}

/// The component's exports; natively there are none.
fn export(name: &Ident, world: World) -> TokenStream {
    let (module, interface, macro_name) = match world {
        World::Stateless => (quote!(stateless), quote!(transformer), quote!(export_stateless)),
        World::Keyed | World::ProcessWindow => (quote!(keyed), quote!(processor), quote!(export_keyed)),
        World::Aggregate => (quote!(aggregate), quote!(aggregator), quote!(export_aggregate)),
    };
    let records = |function: TokenStream, adapter: TokenStream| {
        quote! {
            fn #function(call: tw::Call, batch: Vec<u8>) -> Result<Vec<u8>, tw::Failure> {
                INSTANCE.with(|instance| instance.call(|operator| #adapter))
            }
        }
    };
    let new_records = quote!(<#name as ::tidewheel::Operator>::World::records(operator, call, batch));
    let due = quote!(<#name as ::tidewheel::Operator>::World::due(operator, call, batch));
    let calls = match world {
        World::Stateless => records(quote!(process), new_records),
        World::Keyed | World::ProcessWindow => {
            let (process, on_timer) = (records(quote!(process), new_records), records(quote!(on_timer), due));
            quote!(#process #on_timer)
        }
        World::Aggregate => {
            let merge = quote! {{ let _ = call; tw::merge(operator, &batch) }};
            let (accumulate, merge) = (records(quote!(accumulate), new_records), records(quote!(merge), merge));
            let fire = records(quote!(fire), due);
            quote!(#accumulate #merge #fire)
        }
    };
    let migrate = (world != World::Stateless).then(|| {
        quote! {
            fn migrate(state: u32, version: u32, values: Vec<u8>) -> Result<Vec<u8>, tw::Failure> {
                tw::migrate::<#name>(state, version, &values)
            }
        }
    });
    quote! {
        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code, reason = "exports of a component are functions with fixed names")]
        const _: () = {
            use ::tidewheel::__private::{self as tw, World as _};

            ::std::thread_local! {
                static INSTANCE: tw::Instance<#name> = const { tw::Instance::new() };
            }

            struct Component;

            impl ::tidewheel::wit::#module::exports::tidewheel::operator::#interface::Guest for Component {
                fn describe() -> tw::Description {
                    tw::describe::<#name>()
                }

                fn open(config: String, options: Vec<(String, String)>) -> Result<(), tw::Failure> {
                    INSTANCE.with(|instance| instance.open(&config, &options))
                }

                #calls
                #migrate
            }

            ::tidewheel::wit::#module::#macro_name!(Component with_types_in ::tidewheel::wit::#module);
        };
    }
}
