//! `/openapi.json`: this API, described for programs.

use axum::extract::State;
use axum::response::Response;
use utoipa::ToSchema;
use utoipa::openapi::path::{HttpMethod, PathItem, PathsBuilder};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, OpenApi, OpenApiBuilder};

use super::body::answer;
use super::{Desk, Needs, PREFIX, Route, routes as all};
use crate::problem::Problem;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/openapi.json", Needs::Nothing, "This document", serve)
            .answers_text("application/json"),
    ]
}

async fn serve(State(_): State<Desk>) -> Result<Response, Problem> {
    let document = document().to_json().map_err(|_| Problem::internal())?;
    Ok(answer("application/json", document))
}

/// The document, made from the same rows as the router.
pub fn document() -> OpenApi {
    let mut paths = PathsBuilder::new();
    let mut components = ComponentsBuilder::new().schema(
        Problem::name(),
        <Problem as utoipa::PartialSchema>::schema(),
    );
    for route in all() {
        let path = format!("{PREFIX}{}", route.path.replace("{*", "{"));
        let method = match route.method.as_str() {
            "POST" => HttpMethod::Post,
            "PUT" => HttpMethod::Put,
            "PATCH" => HttpMethod::Patch,
            "DELETE" => HttpMethod::Delete,
            _ => HttpMethod::Get,
        };
        let (operation, schemas) = route.documented();
        paths = paths.path(path, PathItem::new(method, operation));
        components = components.schemas_from_iter(schemas);
    }
    let token = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A token of `tenure token create`."))
        .build();
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("Tenure")
                .version("1")
                .description(Some(
                    "The operators' API. Lists answer {items, next} and take ?limit and ?cursor. \
                     Errors are RFC 9457 problems. Every change is recorded in the name of the token.",
                ))
                .build(),
        )
        .paths(paths.build())
        .components(Some(components.security_scheme("token", SecurityScheme::Http(token)).build()))
        .build()
}
