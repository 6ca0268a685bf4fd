//! `demo-artefacts OUT [ARCH…]`: makes what the demo's machine fetches, `OUT/sha256/<hex>`. For `x86_64` when no architecture is named.
//! May not know how: `artefacts` does.

mod artefacts;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use anymetal_contract::plan::Arch;

const SITE: &str = include_str!("../../images/demo/site.yaml");

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let out = PathBuf::from(arguments.next().context("usage: demo-artefacts OUT [ARCH…]")?);
    let named: Vec<Arch> = arguments
        .map(|name| Arch::named(&name).with_context(|| format!("{name} is no architecture: aarch64 and x86_64 are")))
        .collect::<anyhow::Result<_>>()?;
    for arch in if named.is_empty() { vec![Arch::X86_64] } else { named } {
        println!("{}", artefacts::make(&out, SITE, arch)?.display());
    }
    Ok(())
}
