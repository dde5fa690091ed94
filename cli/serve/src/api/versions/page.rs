//! The page at `/`. It contains no data and fetches it from the API, so it requires no token; it
//! prompts for one where the API requires it.

use super::reader::Reader;
use crate::rest::{Call, Problem, Reply, Route};

/// The style that the page and the HTML report share.
pub const STYLE: &str = include_str!("style.css");
/// The function with which their scripts create elements.
pub const ELEMENT: &str = include_str!("element.js");
const PAGE: &str = include_str!("page.html");
const SCRIPT: [&str; 5] = [
    ELEMENT,
    include_str!("page.js"),
    include_str!("chart.js"),
    include_str!("live.js"),
    include_str!("views.js"),
];
const OWN_STYLE: &str = include_str!("page.css");
/// Only the page's own script and style are loaded: no other origin, nothing inline.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
img-src data:; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

type Answer = Result<Reply, Problem>;

pub(super) fn routes() -> [Route<Reader>; 3] {
    let html = |_: &mut Reader, _: &Call<'_>| -> Answer {
        Ok(Reply::of("text/html; charset=utf-8", PAGE)
            .header("Content-Security-Policy", POLICY)
            .header("Referrer-Policy", "no-referrer"))
    };
    let script = |_: &mut Reader, _: &Call<'_>| -> Answer {
        Ok(Reply::of("text/javascript; charset=utf-8", SCRIPT.concat()))
    };
    let style = |_: &mut Reader, _: &Call<'_>| -> Answer {
        Ok(Reply::of("text/css; charset=utf-8", [STYLE, OWN_STYLE].concat()))
    };
    [
        Route::get("/", "page", "A web page that shows the versions.", html)
            .answers_as(200, "text/html; charset=utf-8", "The page.")
            .open(),
        Route::get("/page.js", "pageScript", "The page's script.", script)
            .answers_as(200, "text/javascript; charset=utf-8", "The script.")
            .open(),
        Route::get("/page.css", "pageStyle", "The page's style.", style)
            .answers_as(200, "text/css; charset=utf-8", "The style.")
            .open(),
    ]
}
