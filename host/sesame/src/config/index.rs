//! `[index]`: the index that several receivers of one queue share.

use std::path::PathBuf;

use index::{Server, ServerError};
use settings::{Complaint, Section, Writer, complain};

use super::channel::is_name;

/// Where the shared index is, and who this receiver is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// The PostgreSQL database.
    pub server: Server,
    /// The name of this receiver among those that share the index.
    pub name: String,
    /// A file with the password of the database user.
    pub password: Option<PathBuf>,
    /// Whether the connection is encrypted, and the server's certificate checked.
    pub tls: bool,
}

const URL: &str = "write url = \"postgresql://sesame@db.example.org/accounting\"";

impl Index {
    /// Reads the section; `None` if there is none.
    pub(super) fn read(section: &Section<'_, '_>) -> Option<Self> {
        let keys = ["url", "name", "password", "tls"];
        if !keys.iter().any(|key| section.has(key)) {
            section.finish();
            return None;
        }
        let server = section.parsed("url", URL, |text| text.parse().map_err(|error| refused(&error)));
        let server: Option<Server> = section.required("url", server, URL);
        let fits = |text: &str| is_name(text) && text.len() <= index::MAX_NAME;
        let name = section.parsed("name", "write it in double quotes", |text| {
            let remedy = format!("use letters, digits, \".\", \"_\" and \"-\", at most {}", index::MAX_NAME);
            if fits(text) { Ok(text.to_owned()) } else { Err(complain(format!("{text:?} cannot be a name"), remedy)) }
        });
        let remedy = "name this receiver as no other one that shares the index, such as name = \"receiver-1\"";
        let name = section.required("name", name, remedy);
        let password = section.path("password");
        if let Some(file) = &password {
            section.readable_file("password", file);
        }
        let is_local = server.as_ref().is_none_or(Server::is_local);
        let tls = section.flag("tls").unwrap_or(!is_local);
        if !tls && !is_local {
            let problem = "is false, and the database is on another machine";
            section.complain("tls", complain(problem, "remove this line"));
        }
        section.finish();
        Some(Self { server: server?, name: name?, password, tls })
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.text("url", &self.server.to_string()).text("name", &self.name);
        writer.path_if("password", self.password.as_ref()).flag("tls", self.tls);
    }
}

fn refused(error: &ServerError) -> Complaint {
    let remedy = match error {
        ServerError::NotAUrl(_) | ServerError::Lacks(_) => URL,
        ServerError::Password => {
            "put it into a file that only its owner may read, and name that: password = \"/etc/sesame/index-password\""
        }
        ServerError::SslMode => {
            "remove it: tls = true, the default for another machine, checks the server's certificate"
        }
    };
    complain(error.to_string(), remedy)
}
