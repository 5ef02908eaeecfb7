//! Holds the page's types to these: what is committed in `ui/bindings` is what the types say.

use alloc::string::String;

use expect_test::expect_file;
use ts_rs::{Config, TS};

use super::{Act, View, view};

/// One file with every type that crosses, in a fixed order.
fn bindings() -> String {
    let config = Config::new();
    let declarations = [
        crate::time::Wall::decl(&config),
        crate::ids::GrantId::decl(&config),
        crate::ids::StoreId::decl(&config),
        crate::health::Phrase::decl(&config),
        crate::health::Shape::decl(&config),
        crate::health::Health::decl(&config),
        crate::health::Button::decl(&config),
        crate::facts::Renewer::decl(&config),
        crate::snapshot::NewAddress::decl(&config),
        crate::snapshot::SigningIn::decl(&config),
        crate::snapshot::Row::decl(&config),
        crate::snapshot::StoreRow::decl(&config),
        view::Consent::decl(&config),
        view::What::decl(&config),
        view::Past::decl(&config),
        view::Hint::decl(&config),
        view::Line::decl(&config),
        view::Settings::decl(&config),
        view::Around::decl(&config),
        View::decl(&config),
        super::Answer::decl(&config),
        Act::decl(&config),
    ];
    let mut file = String::from(
        "// Made from the Rust types by the test that compares them; do not edit.\n\n\
         /** A piece of a phrase: a text, a length of time until a moment, or a moment. */\n\
         export type Part = string | { in: number } | { at: number };\n",
    );
    for declaration in declarations {
        file.push_str("export ");
        file.push_str(&declaration);
        file.push('\n');
    }
    file
}

#[test]
fn the_pages_types_are_these() {
    expect_file!["../../../../../ui/bindings/index.ts"].assert_eq(&bindings());
}
