//! The page at `/`: it holds no data, and asks the API for it. So it needs no token itself; it asks
//! the reader for one where the API does.

use super::Reader;
use crate::rest::{Call, Problem, Reply, Route};

/// The look of our pages.
pub const STYLE: &str = include_str!("style.css");
/// How their scripts make elements.
pub const ELEMENT: &str = include_str!("element.js");
const PAGE: &str = include_str!("page.html");
const SCRIPT: [&str; 4] =
    [ELEMENT, include_str!("page.js"), include_str!("chart.js"), include_str!("views.js")];
const OWN_STYLE: &str = include_str!("page.css");
/// Nothing is loaded from elsewhere, and nothing in the page but its own script and style counts.
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
        Route::get("/", "page", "A page to look at the versions.", html)
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
