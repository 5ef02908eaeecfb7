//! `lamplighter doctor`: what is where, what is wrong, and what to do about it.

use lamplighter_engine::{
    doctor::{Finding, Grade, examine},
    open::Place,
};

use crate::args;

/// Prints the findings; 0 if nothing is wrong, 12 if a store is, 1 for the rest.
pub(crate) fn run(place: &Place, args: &args::Doctor) -> anyhow::Result<u8> {
    let findings = examine(place);
    if args.json {
        let document = serde_json::json!({ "schema": 1, "findings": findings });
        outln!("{}", serde_json::to_string_pretty(&document)?);
    } else {
        for finding in &findings {
            print(finding);
        }
    }
    Ok(findings.iter().map(|finding| finding.exit).max().unwrap_or_default())
}

fn print(finding: &Finding) {
    let mark = match finding.grade {
        Grade::Fine => "●",
        Grade::Note => "○",
        Grade::Wrong => "!",
    };
    let code = finding.code.map(|code| format!(" [{code}]")).unwrap_or_default();
    outln!("{mark} {}: {}{code}", finding.about, finding.found);
    if let Some(advice) = &finding.advice {
        outln!("    → {advice}");
    }
}
