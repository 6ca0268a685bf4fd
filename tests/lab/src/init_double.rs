//! A double of the static init: a small ELF program that carries an abilities record, prints its arguments and ends with a given code.
//! May not be taken for the real one: it boots nothing, and no result of it says anything about `anymetal-init`.

use anymetal_contract::abilities::MARK;
use anymetal_contract::plan::Arch;

/// What the double says of itself: all a plan of this release may ask for.
pub const ABILITIES: &str = concat!(
    r#"{"kind":"anymetal.abilities","version":1,"release":"0.0.0-double","plans":[1],"#,
    r#""phases":["wake","plan","metadata","acquire","install","facts","files","services","jobs","prove","announce","settle"],"#,
    r#""platforms":["equinix-metal","vultr","file"],"formats":["zip","tar.gz","deb"],"#,
    r#""ready":["active","consul-leader","nomad-node","announced"],"#,
    r#""secrets":["user-data","customdata","medium"],"supplies":["bundle","siblings","origins","upstream"],"releases":[1],"signatures":["minisign"]}"#
);

/// How a double differs from a good one.
#[derive(Debug, Clone)]
pub struct Double {
    /// What `e_machine` and the code are for.
    pub arch: Arch,
    /// The record; empty leaves mark and record out.
    pub abilities: String,
    /// Whether it asks for a dynamic linker, as a program that is not static does.
    pub interpreter: bool,
    /// What it ends with.
    pub code: u8,
}

impl Double {
    /// A good one.
    pub fn of(arch: Arch) -> Self {
        Self { arch, abilities: ABILITIES.to_owned(), interpreter: false, code: 0 }
    }

    /// The program: it writes `argv` (each word ended by a zero byte) to standard error.
    pub fn elf(&self) -> Vec<u8> {
        const BASE: u64 = 0x40_0000;
        const HEADERS: u64 = 64 + 2 * 56;
        let code = self.machine_code();
        let mut tail = code.clone();
        if !self.abilities.is_empty() {
            tail.extend(MARK.concat().bytes().chain(self.abilities.bytes()).chain([b'\n', 0]));
        }
        let size = HEADERS + tail.len() as u64;
        let machine: u16 = if self.arch == Arch::X86_64 { 62 } else { 183 };
        let mut elf = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        for half in [2u16, machine] {
            elf.extend(half.to_le_bytes());
        }
        elf.extend(1u32.to_le_bytes());
        for word in [BASE + HEADERS, 64, 0] {
            elf.extend(word.to_le_bytes()); // entry, program headers, no section headers
        }
        elf.extend(0u32.to_le_bytes());
        for half in [64u16, 56, 2, 0, 0, 0] {
            elf.extend(half.to_le_bytes());
        }
        let second = if self.interpreter { 3 } else { 0x6474_e551 }; // PT_INTERP or PT_GNU_STACK
        for (kind, flags, length) in [(1u32, 5u32, size), (second, 6, 0)] {
            elf.extend(kind.to_le_bytes());
            elf.extend(flags.to_le_bytes());
            for word in [0, BASE, BASE, length, length, 0x1000] {
                elf.extend(word.to_le_bytes());
            }
        }
        elf.extend(tail);
        elf
    }

    /// `write(2, argv[0], envp[0] - argv[0]); exit(code)`: the words of `argv` lie one after the other, right before the environment.
    fn machine_code(&self) -> Vec<u8> {
        let code = self.code;
        match self.arch {
            Arch::X86_64 => vec![
                0x48, 0x8b, 0x04, 0x24, // mov rax, [rsp]
                0x48, 0x8b, 0x74, 0x24, 0x08, // mov rsi, [rsp+8]
                0x48, 0x8b, 0x54, 0xc4, 0x10, // mov rdx, [rsp+rax*8+16]
                0x48, 0x29, 0xf2, // sub rdx, rsi
                0xbf, 2, 0, 0, 0, // mov edi, 2
                0xb8, 1, 0, 0, 0, // mov eax, 1 (write)
                0x0f, 0x05, // syscall
                0xbf, code, 0, 0, 0, // mov edi, code
                0xb8, 60, 0, 0, 0, // mov eax, 60 (exit)
                0x0f, 0x05, // syscall
            ],
            Arch::Aarch64 => [
                0xf940_03e9,                        // ldr x9, [sp]
                0xf940_07e1,                        // ldr x1, [sp, #8]
                0x8b29_6fea,                        // add x10, sp, x9, lsl #3
                0xf940_0942,                        // ldr x2, [x10, #16]
                0xcb01_0042,                        // sub x2, x2, x1
                0xd280_0040,                        // mov x0, #2
                0xd280_0808,                        // mov x8, #64 (write)
                0xd400_0001,                        // svc #0
                0xd280_0000 | u32::from(code) << 5, // mov x0, #code
                0xd280_0ba8,                        // mov x8, #93 (exit)
                0xd400_0001_u32,                    // svc #0
            ]
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .collect(),
        }
    }
}
