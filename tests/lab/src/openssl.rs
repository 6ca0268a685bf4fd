//! An HTTPS server that no machine trusts: `openssl s_server` with a certificate of its own making.
//! May not be used where trust matters; that is the point of it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// A server that runs until it is dropped.
pub struct Https {
    server: Child,
    port: u16,
    _folder: TempDir,
}

impl Https {
    /// Serves these files (path without a leading slash, bytes) on a free port of 127.0.0.1, for the name `localhost`.
    pub fn serving(files: &[(&str, &[u8])]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        for (path, bytes) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().expect("a path below the folder has a parent"))
                .expect("the folder is ours");
            fs::write(&path, [b"HTTP/1.0 200 OK\r\n\r\n", *bytes].concat()).expect("the folder is ours");
        }
        let key = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost -keyout key -out cert";
        let made = openssl(&folder, key).stderr(Stdio::null()).status().expect("openssl can be started");
        assert!(made.success(), "openssl made no certificate: {made}");
        let mut serve = openssl(&folder, "s_server -accept 127.0.0.1:0 -key key -cert cert -HTTP");
        let mut server = serve
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl can be started");
        let mut lines = BufReader::new(server.stdout.take().expect("it is piped")).lines();
        let port = loop {
            let line = lines.next().expect("openssl says where it accepts").expect("openssl writes text");
            if let Some(address) = line.strip_prefix("ACCEPT ") {
                break address
                    .rsplit(':')
                    .next()
                    .and_then(|port| port.parse().ok())
                    .expect("an address ends with a port");
            }
        };
        std::thread::spawn(move || lines.for_each(drop)); // what it says of each connection would fill the pipe
        Self { server, port, _folder: folder }
    }

    /// `https://localhost:<port>`, without a trailing slash.
    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }
}

impl Drop for Https {
    fn drop(&mut self) {
        let _already_gone = self.server.kill();
        let _ended = self.server.wait();
    }
}

fn openssl(folder: &TempDir, arguments: &str) -> Command {
    let mut command = Command::new("openssl");
    command.args(arguments.split(' ')).current_dir(folder.path());
    command
}
