//! Upstream's archives: whatever the bytes, they are refused, or what comes out stays where it was to go.
#![no_main]

mod install;

use anymetal_contract::plan::Format;
use anymetal_lab::archive::gzip;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first() else { return };
    let taken = match first % 3 {
        0 => install::taken(Format::Zip, rest),
        1 => install::taken(Format::TarGz, rest),
        // by itself nobody finds a checksum of gzip
        _ => install::taken(Format::TarGz, &gzip(rest)),
    };
    for place in taken.iter().flatten().map(|(place, _)| place) {
        let safe = place == "program" || place.starts_with("folder/");
        assert!(safe && !place.split('/').any(|part| matches!(part, "" | "." | ".." | ".anymetal")), "{place}");
    }
});
