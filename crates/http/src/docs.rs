//! The documentation as pages: the same files that the repository has, from this binary.

use std::sync::{Arc, OnceLock};

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::CONTENT_SECURITY_POLICY,
    middleware::DefaultHeaders,
    web::{self, ServiceConfig},
};
use pulldown_cmark::{CowStr, Event, Options, Parser, Tag, TagEnd, html};

use crate::{
    assets::Asset,
    problem::{Code, Problem},
};

/// A page: its name in the address, its title, its text.
struct Page {
    name: &'static str,
    title: &'static str,
    text: &'static str,
}

const PAGES: [Page; 4] = [
    Page { name: "api", title: "The HTTP API", text: include_str!("../../../docs/api.md") },
    Page { name: "guide", title: "Guide", text: include_str!("../../../docs/guide.md") },
    Page { name: "operations", title: "Operations", text: include_str!("../../../docs/operations.md") },
    Page { name: "scaling", title: "Scaling", text: include_str!("../../../docs/scaling.md") },
];

const STYLE: &str = include_str!("docs/style.css");

const PAGE_POLICY: &str =
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Mounts the pages; `/docs` leads to the first.
pub(crate) fn mount(app: &mut ServiceConfig) {
    let style = Arc::new(Asset::text("text/css; charset=utf-8", STYLE));
    let get_style = move |request: HttpRequest| {
        let answer = style.answer(&request).map_err(|_| Problem::new(Code::Internal));
        async move { answer }
    };
    let headers = DefaultHeaders::new().add((CONTENT_SECURITY_POLICY, PAGE_POLICY));
    app.service(web::redirect("/docs", "/docs/api")).service(
        web::scope("/docs")
            .wrap(headers)
            .route("/style.css", web::get().to(get_style))
            .route("/{page}", web::get().to(page)),
    );
}

async fn page(request: HttpRequest, name: web::Path<String>) -> Result<HttpResponse, Problem> {
    static MADE: [OnceLock<Asset>; PAGES.len()] = [const { OnceLock::new() }; PAGES.len()];
    let wanted = PAGES.iter().zip(&MADE).find(|(page, _)| page.name == name.as_str());
    let (page, made) = wanted.ok_or_else(|| Problem::new(Code::RouteNotFound))?;
    // Made once per process and kept for its life.
    let made = made.get_or_init(|| Asset::text("text/html; charset=utf-8", whole(page).leak()));
    made.answer(&request).map_err(|_| Problem::new(Code::Internal))
}

/// The page with its frame.
fn whole(page: &Page) -> String {
    let links: Vec<String> =
        PAGES.iter().map(|page| format!("<a href=\"/docs/{}\">{}</a>", page.name, page.title)).collect();
    let links = links.join(" ");
    let mut text = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>balance: {}</title>\
         <link rel=\"stylesheet\" href=\"/docs/style.css\"></head><body><header><strong>balance</strong><nav>{links} \
         <a href=\"/swagger/index.html\">Try the API</a></nav></header><main>\n",
        page.title
    );
    html::push_html(&mut text, events(page.text).into_iter());
    text.push_str("</main></body></html>\n");
    text
}

/// The text with links to pages that exist here, and headings that can be linked to.
fn events(text: &str) -> Vec<Event<'_>> {
    let mut events: Vec<Event<'_>> = Parser::new_ext(text, Options::ENABLE_TABLES).collect();
    let mut is_dropped = Vec::new();
    for at in 0..events.len() {
        let heading = match &events[at] {
            Event::Start(Tag::Heading { .. }) => anchor(&events[at + 1..]),
            _ => String::new(),
        };
        match &mut events[at] {
            Event::Start(Tag::Heading { id, .. }) => *id = Some(heading.into()),
            Event::Start(Tag::Link { dest_url, .. }) => match served(dest_url) {
                Some(place) => *dest_url = CowStr::from(place),
                None => is_dropped.push(at),
            },
            _ => {}
        }
    }
    for at in is_dropped {
        events[at] = Event::Text("".into());
        let end = events[at..].iter().position(|event| matches!(event, Event::End(TagEnd::Link)));
        if let Some(end) = end {
            events[at + end] = Event::Text("".into());
        }
    }
    events
}

/// The words of a heading as a fragment of an address: `Outside the base path` is `outside-the-base-path`.
fn anchor(events: &[Event<'_>]) -> String {
    let words = events.iter().take_while(|event| !matches!(event, Event::End(TagEnd::Heading(_))));
    let words: String = words
        .filter_map(|event| match event {
            Event::Text(text) | Event::Code(text) => Some(text.as_ref()),
            _ => None,
        })
        .collect();
    let is_kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-');
    words.to_lowercase().chars().filter(is_kept).map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// Where a link of the files leads to here, if there is such a page.
fn served(link: &str) -> Option<String> {
    if link.starts_with(['#', '/']) || link.starts_with("https://") {
        return Some(link.to_owned());
    }
    let (file, fragment) = link.split_once('#').unwrap_or((link, ""));
    let page = PAGES.iter().find(|page| file.strip_suffix(".md") == Some(page.name))?;
    Some(if fragment.is_empty() {
        format!("/docs/{}", page.name)
    } else {
        format!("/docs/{}#{fragment}", page.name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_link_to_each_other_and_to_their_headings() {
        for page in &PAGES {
            let text = whole(page);
            for link in text.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
                let (place, fragment) = link.split_once('#').unwrap_or((link, ""));
                let target = match place.strip_prefix("/docs/") {
                    _ if place.is_empty() => Some(page),
                    Some(name) => PAGES.iter().find(|page| page.name == name),
                    None => None,
                };
                if let Some(target) = target {
                    let id = format!("id=\"{fragment}\"");
                    assert!(fragment.is_empty() || whole(target).contains(&id), "{link} on {}", page.name);
                } else {
                    let is_elsewhere = place.starts_with("https://");
                    assert!(
                        is_elsewhere
                            || ["/docs/style.css", "/swagger/index.html", "/openapi.json"].contains(&place),
                        "{link} on {}",
                        page.name
                    );
                }
            }
        }
        assert!(whole(&PAGES[0]).contains("<h2 id=\"problems\">"));
    }
}
