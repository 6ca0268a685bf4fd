//! What each component's archive holds, as its makers pack it, and which program of ours stands in for theirs.
//! May not read or write anything: it is a table.

/// An archive's layout.
pub struct Recipe {
    /// The component: `nomad`.
    pub component: &'static str,
    /// The version a double says it is, and the real one has that needs no `--components`.
    pub version: &'static str,
    /// What kind of archive.
    pub form: Form,
    /// The folder everything lies in, with a slash; or nothing.
    pub top: &'static str,
    /// What is in it.
    pub members: &'static [Member],
}

/// What kind of archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As HashiCorp packs.
    Zip,
    /// As everybody else does.
    TarGz,
    /// As the demo makes it of Debian's package; a zip archive.
    Demo,
    /// As `TarGz`; and of real ones every file below their folder is taken, for the program needs them all.
    Folder,
}

/// A file of an archive.
pub struct Member {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub content: Content,
}

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// The component's program, without which there is no component; ours when no real one is given.
    Program(Stand),
    /// A program nothing here runs.
    Idle,
    /// A text or data file, for the layout's sake.
    Filler(&'static str),
}

/// A program of our own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stand {
    /// A double: `target/doubles/…/release/<name>`.
    Double(&'static str),
    /// The real program, built from its makers' library: `target/bindle/…/release/<name>`.
    Built(&'static str),
    /// The real program, out of Debian's archive.
    Debian,
}

impl Stand {
    /// Whether it does what it does as its makers' program does, being made of the same code.
    pub const fn real(self) -> bool {
        !matches!(self, Self::Double(_))
    }
}

const LICENCE: Content =
    Content::Filler("In the place of the makers' licence: this archive was packed by a test suite.\n");
const README: Content = Content::Filler("In the place of the makers' page: this archive was packed by a test suite.\n");
const LIBRARY: Content = Content::Filler("In the place of a library: this archive was packed by a test suite.\n");
const SETTINGS: Content =
    Content::Filler("{\n  \"AllowedHosts\": \"*\",\n  \"Database\": { \"Driver\": \"postgresql\" }\n}\n");
const PAGE: Content = Content::Filler("<!doctype html><title>hippo-double</title><p>In the place of Hippo's pages.\n");

const fn member(name: &'static str, content: Content) -> Member {
    Member { name, content }
}

const fn program(name: &'static str, stand: Stand) -> Member {
    Member { name, content: Content::Program(stand) }
}

/// Every component that comes in an archive.
pub const ALL: &[Recipe] = &[
    Recipe {
        component: "consul",
        version: "1.8.7",
        form: Form::Demo,
        top: "",
        members: &[program("consul", Stand::Debian)],
    },
    Recipe {
        component: "nomad",
        version: "1.4.1",
        form: Form::Zip,
        top: "",
        members: &[member("LICENSE.txt", LICENCE), program("nomad", Stand::Double("nomad-double"))],
    },
    Recipe {
        component: "traefik",
        version: "2.11.55",
        form: Form::TarGz,
        top: "",
        members: &[
            member("CHANGELOG.md", README),
            member("LICENSE.md", LICENCE),
            program("traefik", Stand::Double("traefik-double")),
        ],
    },
    Recipe {
        component: "bindle",
        version: "0.8.2",
        form: Form::TarGz,
        top: "",
        members: &[
            member("README.md", README),
            member("LICENSE.txt", LICENCE),
            member("bindle", Content::Idle),
            program("bindle-server", Stand::Built("bindle-server")),
        ],
    },
    Recipe {
        component: "hippo",
        version: "0.20.2",
        form: Form::Folder,
        top: "linux-x64/",
        members: &[
            program("Hippo.Web", Stand::Double("hippo-double")),
            member("Hippo.Web.dll", LIBRARY),
            member("Hippo.Infrastructure.dll", LIBRARY),
            member("Microsoft.Data.Sqlite.dll", LIBRARY),
            member("appsettings.json", SETTINGS),
            member("wwwroot/index.html", PAGE),
        ],
    },
    Recipe {
        component: "spin",
        version: "0.10.1",
        form: Form::TarGz,
        top: "",
        members: &[
            member("README.md", README),
            member("LICENSE", LICENCE),
            program("spin", Stand::Double("spin-double")),
        ],
    },
];
