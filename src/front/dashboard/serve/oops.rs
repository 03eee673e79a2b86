//! A refusal as a page, for whoever reads pages; callers of the API keep their JSON.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use http::{HeaderMap, header};

use super::html;
use super::look::{Look, bare};
use crate::front::dashboard::error::ErrorPage;
use crate::front::dashboard::parts::Link;
use crate::front::dashboard::shell::Shell;
use crate::front::dashboard::text;
use crate::front::http::state::Front;
use crate::model::refusal::{Code, Refusal};

/// Stands on the answers of page paths: they are pages whatever the client says that it accepts.
#[derive(Clone, Copy)]
struct OfPage;

/// Marks an answer as that of a page path.
pub async fn mark(mut response: Response) -> Response {
    response.extensions_mut().insert(OfPage);
    response
}

/// Turns refusals into pages where a page was asked for.
pub async fn dress(State(front): State<Front>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if is_api(path) {
        return next.run(request).await;
    }
    let (path, asked) = (path.to_owned(), request.uri().clone());
    let looks = request.method() == http::Method::GET;
    let reads_pages = accepts_pages(request.headers());
    let mut response = next.run(request).await;
    if !reads_pages && response.extensions().get::<OfPage>().is_none() {
        return response;
    }
    let Some(refusal) = response.extensions_mut().remove::<Refusal>() else { return response };
    if refusal.code == Code::Unauthorized && reads_pages && looks {
        let asked = asked.path_and_query().map_or("/", |asked| asked.as_str());
        return Redirect::to(&text::link("/login", &[("back", asked)])).into_response();
    }
    let title = ErrorPage::title_of(refusal.code.class().http_status());
    // A store that cannot be read refuses the frame too: the page then comes in a bare one.
    let shell = match Look::take(&front) {
        Ok(look) => Shell { live: false, ..look.shell(&front, title, "", String::new()) },
        Err(_) => bare(title, ""),
    };
    page(shell, &path, &refusal)
}

/// The page for the time before the store is open, or `None` for callers of the API.
pub fn before_opening(path: &str, headers: &HeaderMap, refusal: &Refusal) -> Option<Response> {
    if is_api(path) || !accepts_pages(headers) {
        return None;
    }
    let title = ErrorPage::title_of(refusal.code.class().http_status());
    Some(page(bare(title, ""), path, refusal))
}

fn is_api(path: &str) -> bool {
    path == "/v1" || path.starts_with("/v1/")
}

fn accepts_pages(headers: &HeaderMap) -> bool {
    let mut accepts =
        headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepts.any(|value| value.contains("text/html"))
}

fn page(shell: Shell, path: &str, refusal: &Refusal) -> Response {
    let status = refusal.code.class().http_status();
    let retry_after = refusal.retry_after.map(|span| span.as_secs_ceil().max(1));
    let page = ErrorPage {
        shell,
        status: u64::from(status),
        title: ErrorPage::title_of(status).to_owned(),
        message: refusal.message.clone(),
        code: refusal.code.as_str().to_owned(),
        retry_after: retry_after.and_then(|secs| u64::try_from(secs).ok()),
        links: links(path),
    };
    let mut response = html(status, &page);
    if let Some(secs) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, secs.into());
    }
    response
}

/// Where to go from a page that did not work: to the thing, to its list, to the start.
fn links(path: &str) -> Vec<Link> {
    let mut links = Vec::new();
    let mut parts = path.split('/').skip(1);
    let (list, thing, act) = (parts.next().unwrap_or(""), parts.next(), parts.next());
    match (list, thing, act) {
        ("runs", Some(id), Some(_)) => links.push(Link::new("The run", format!("/runs/{id}"))),
        ("outbox", Some(id), Some("retry")) => {
            links.push(Link::new("The row", format!("/outbox/{id}")));
        }
        _ => {}
    }
    match list {
        "runs" => links.push(Link::new("All runs", "/runs")),
        "streams" => links.push(Link::new("All streams", "/streams")),
        "outbox" => links.push(Link::new("The outbox", "/outbox")),
        "endpoints" => links.push(Link::new("All endpoints", "/endpoints")),
        _ => {}
    }
    links.push(Link::new("Overview", "/"));
    links
}
