//! One row per route: what it is called, what it needs, what it takes and answers. The router, the
//! OpenAPI document and the test of every role against every route are made from the same rows.

use std::sync::Arc;

use axum::Router;
use axum::handler::Handler;
use axum::middleware;
use axum::routing::{MethodFilter, MethodRouter, on};
use hyper::Method;
use tenure_domain::operator::Permission;
use utoipa::openapi::path::{
    Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn,
};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Required, ResponseBuilder, Schema};
use utoipa::{IntoParams, ToSchema};

use super::{Desk, guard};
use crate::problem::Problem;

/// A schema with its name.
pub type Named = (String, RefOr<Schema>);

/// What a call must bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing.
    Nothing,
    /// Any token that works.
    AnyToken,
    /// A token whose role includes this.
    Permission(Permission),
}

impl From<Permission> for Needs {
    fn from(permission: Permission) -> Needs {
        Needs::Permission(permission)
    }
}

/// Whether an answer may be kept to be given again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeping {
    /// It may.
    Whole,
    /// It holds a secret that is shown once: only that it was given is kept.
    OnlyThatItWasGiven,
}

/// How much a call may bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taking {
    /// A document: up to [`API_BODY_BYTES_MAX`](crate::limits::API_BODY_BYTES_MAX).
    Document,
    /// A table of devices: up to [`IMPORT_BODY_BYTES_MAX`](crate::limits::IMPORT_BODY_BYTES_MAX), one at
    /// a time.
    Table,
}

/// One route of the API.
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path below [`super::PREFIX`], with `{name}` for what varies.
    pub path: &'static str,
    /// What a call must bring.
    pub needs: Needs,
    pub(super) keeping: Keeping,
    taking: Taking,
    handler: MethodRouter<Desk>,
    operation: OperationBuilder,
    status: u16,
    schemas: Vec<Named>,
}

macro_rules! methods {
    ($($(#[$doc:meta])* $name:ident, $method:ident, $filter:ident;)+) => {$(
        $(#[$doc])*
        pub fn $name<H, T>(
            path: &'static str,
            needs: impl Into<Needs>,
            summary: &str,
            handler: H,
        ) -> Route
        where
            H: Handler<T, Desk>,
            T: 'static,
        {
            let handler = on(MethodFilter::$filter, handler);
            Route::new(Method::$method, path, needs.into(), summary, handler)
        }
    )+};
}

impl Route {
    methods! {
        /// Reads.
        get, GET, GET;
        /// Makes or does something.
        post, POST, POST;
        /// Replaces a whole document.
        put, PUT, PUT;
        /// Changes some fields.
        patch, PATCH, PATCH;
        /// Withdraws.
        delete, DELETE, DELETE;
    }

    fn new(
        method: Method,
        path: &'static str,
        needs: Needs,
        summary: &str,
        handler: MethodRouter<Desk>,
    ) -> Route {
        let tag = path.split('/').nth(1).unwrap_or_default();
        let mut operation = OperationBuilder::new()
            .summary(Some(summary))
            .operation_id(Some(operation_id(&method, path)))
            .tag(tag)
            .description(Some(described(needs)));
        for piece in path.split('/') {
            if let Some(name) = piece.strip_prefix('{') {
                let name = name.trim_end_matches('}').trim_start_matches('*');
                operation = operation.parameter(in_path(name));
            }
        }
        if method == Method::POST {
            operation = operation.parameter(idempotency_key());
        }
        Route {
            method,
            path,
            needs,
            keeping: Keeping::Whole,
            taking: Taking::Document,
            handler,
            operation,
            status: 200,
            schemas: Vec::new(),
        }
    }

    /// Takes these fields in the query.
    pub fn asks<T: IntoParams>(mut self) -> Route {
        for parameter in T::into_params(|| Some(ParameterIn::Query)) {
            self.operation = self.operation.parameter(parameter);
        }
        self
    }

    /// Takes this JSON.
    pub fn takes<T: ToSchema>(mut self) -> Route {
        let content = ContentBuilder::new()
            .schema(Some(self.named::<T>()))
            .build();
        self.takes_content("application/json", content)
    }

    /// Takes a document of this media type.
    pub fn takes_text(self, media_type: &str) -> Route {
        let text = ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::String))
            .build();
        let content = ContentBuilder::new().schema(Some(text)).build();
        self.takes_content(media_type, content)
    }

    /// Takes a table of devices.
    pub fn takes_table(mut self) -> Route {
        self.taking = Taking::Table;
        self.takes_text("text/csv")
    }

    fn takes_content(mut self, media_type: &str, content: utoipa::openapi::Content) -> Route {
        let body = RequestBodyBuilder::new()
            .required(Some(Required::True))
            .content(media_type, content)
            .build();
        self.operation = self.operation.request_body(Some(body));
        self
    }

    /// Answers this JSON.
    pub fn answers<T: ToSchema>(mut self) -> Route {
        let schema: RefOr<Schema> = self.named::<T>().into();
        self.answers_schema("application/json", schema)
    }

    /// Answers one page of a list of these: `{items, next}`.
    pub fn lists<T: ToSchema>(mut self) -> Route {
        let items = ArrayBuilder::new().items(self.named::<T>());
        let next = ObjectBuilder::new()
            .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
            .description(Some("The cursor of the next page; null after the last."));
        let page = ObjectBuilder::new()
            .property("items", items)
            .required("items")
            .property("next", next)
            .required("next")
            .build();
        self.answers_schema("application/json", RefOr::T(Schema::Object(page)))
    }

    /// Answers a document of this media type.
    pub fn answers_text(self, media_type: &str) -> Route {
        let text = ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::String))
            .build();
        self.answers_schema(media_type, RefOr::T(Schema::Object(text)))
    }

    fn answers_schema(mut self, media_type: &str, schema: RefOr<Schema>) -> Route {
        let content = ContentBuilder::new().schema(Some(schema)).build();
        let answer = ResponseBuilder::new()
            .description("Done")
            .content(media_type, content);
        self.operation = self
            .operation
            .response(self.status.to_string(), answer.build());
        self
    }

    /// The answer holds a secret that is shown once.
    pub fn shows_a_secret(mut self) -> Route {
        self.keeping = Keeping::OnlyThatItWasGiven;
        self
    }

    /// The document says what this is, though no answer is one.
    pub fn names<T: ToSchema>(mut self) -> Route {
        self.named::<T>();
        self
    }

    fn named<T: ToSchema>(&mut self) -> Ref {
        T::schemas(&mut self.schemas);
        let name = T::name().into_owned();
        self.schemas.push((name.clone(), T::schema()));
        Ref::from_schema_name(name)
    }

    /// The route in the OpenAPI document, and the schemas it names.
    pub(super) fn documented(self) -> (Operation, Vec<Named>) {
        let problem = || {
            let schema = Ref::from_schema_name(<Problem as ToSchema>::name());
            ContentBuilder::new().schema(Some(schema)).build()
        };
        let failed = ResponseBuilder::new()
            .description(
                "Why not (RFC 9457); 401 without a valid token, 403 if its role is not enough",
            )
            .content("application/problem+json", problem());
        let mut operation = self.operation.response("default", failed.build());
        if self.needs != Needs::Nothing {
            let bearer =
                utoipa::openapi::security::SecurityRequirement::new("token", Vec::<String>::new());
            operation = operation.security(bearer);
        }
        (operation.build(), self.schemas)
    }

    /// Puts the route behind its guard into a router.
    pub(crate) fn mount(self, router: Router<Desk>, desk: &Desk) -> Router<Desk> {
        let rule = Arc::new(guard::Rule {
            needs: self.needs,
            keeping: self.keeping,
            taking: self.taking,
        });
        let state = (desk.clone(), rule);
        let guarded = self
            .handler
            .route_layer(middleware::from_fn_with_state(state, guard::guard));
        router.route(self.path, guarded)
    }
}

/// `GET /devices/{id}` is `get_devices_id`.
fn operation_id(method: &Method, path: &str) -> String {
    let mut id = method.as_str().to_ascii_lowercase();
    for piece in path.split('/').filter(|piece| !piece.is_empty()) {
        id.push('_');
        id.extend(piece.chars().filter_map(|c| match c {
            'a'..='z' | '0'..='9' => Some(c),
            '-' | '.' => Some('_'),
            _ => None,
        }));
    }
    id
}

fn described(needs: Needs) -> String {
    match needs {
        Needs::Nothing => "Needs no token.".to_owned(),
        Needs::AnyToken => "Needs a token.".to_owned(),
        Needs::Permission(permission) => {
            use tenure_domain::operator::Role;
            let roles: Vec<_> = Role::ALL
                .iter()
                .filter(|role| role.may(permission).is_ok())
                .map(|role| role.word())
                .collect();
            format!("Needs a token of role {}.", roles.join(" or "))
        }
    }
}

fn in_path(name: &str) -> Parameter {
    let text = ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::String))
        .build();
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .schema(Some(text))
        .build()
}

fn idempotency_key() -> Parameter {
    let text = ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::String))
        .max_length(Some(crate::limits::IDEMPOTENCY_KEY_BYTES_MAX))
        .build();
    ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(
            "Any text of your own. The same call with the same key within 24 hours is done once; \
             another body under the same key is answered 409.",
        ))
        .schema(Some(text))
        .build()
}
