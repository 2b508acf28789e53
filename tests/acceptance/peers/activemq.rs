//! ActiveMQ from Debian's package: an instance of its own with a KahaDB store, STOMP over plain TCP and over TLS.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use super::broker::{KNOWN_HOSTS, LOGIN, PASSCODE, Place, succeed, write};
use super::openssl::pki;
use super::require;
use crate::harness::Child;

const STORE_PASSWORD: &str = "changeit";

/// Writes the configuration and the Java key stores.
pub(crate) fn prepare(place: &Place) -> Option<Child> {
    require("activemq");
    let folder = &place.folder;
    write(folder, "activemq.xml", &configuration(place));
    write(folder, "users.properties", &format!("{LOGIN}={PASSCODE}\n"));
    write(folder, "groups.properties", &format!("sites={}\n", members()));
    write(folder, "certificates.properties", &certificates());
    write(folder, "login.config", &login());
    write(folder, "log4j2.properties", LOG);
    key_store(place);
    trust_store(folder);
    None
}

/// The command that starts the broker, without the wrapper script, which would change the user.
pub(crate) fn command(place: &Place) -> Command {
    let folder = place.folder.display();
    let mut command = Command::new(require("java"));
    command.current_dir(&place.folder).args(["-Xmx384M", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
    for opened in
        ["java.lang", "java.util", "java.util.concurrent", "java.util.concurrent.atomic", "java.net", "java.security"]
    {
        command.arg(format!("--add-opens=java.base/{opened}=ALL-UNNAMED"));
    }
    for (name, value) in [
        ("home", "/usr/share/activemq".to_owned()),
        ("base", folder.to_string()),
        ("conf", folder.to_string()),
        ("data", format!("{folder}/data")),
    ] {
        command.arg(format!("-Dactivemq.{name}={value}"));
    }
    command
        .arg(format!("-Djava.security.auth.login.config={folder}/login.config"))
        .arg(format!("-Dactivemq.classpath={folder}"))
        .args(["-jar", "/usr/share/activemq/bin/activemq.jar", "start"])
        .arg(format!("xbean:file:{folder}/activemq.xml"));
    command
}

/// A certificate identifies a host; a client without one gives login and passcode, or is the user that sites without
/// either are taken for.
fn configuration(place: &Place) -> String {
    let folder = place.folder.display();
    format!(
        r#"<beans xmlns="http://www.springframework.org/schema/beans" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
  xsi:schemaLocation="http://www.springframework.org/schema/beans http://www.springframework.org/schema/beans/spring-beans-2.0.xsd
  http://activemq.apache.org/schema/core http://activemq.apache.org/schema/core/activemq-core.xsd">
  <broker xmlns="http://activemq.apache.org/schema/core" useJmx="false" brokerName="sesame" dataDirectory="{folder}/data"
          schedulerSupport="false" advisorySupport="false">
    <persistenceAdapter><kahaDB directory="{folder}/data/kahadb" journalMaxFileLength="4mb"/></persistenceAdapter>
    <plugins><jaasDualAuthenticationPlugin configuration="passcodes" sslConfiguration="certificates"/></plugins>
    <sslContext><sslContext keyStore="file:{folder}/broker.p12" keyStorePassword="{STORE_PASSWORD}"
                            trustStore="file:{folder}/trust.p12" trustStorePassword="{STORE_PASSWORD}"/></sslContext>
    <systemUsage><systemUsage>
      <memoryUsage><memoryUsage limit="128 mb"/></memoryUsage>
      <storeUsage><storeUsage limit="1 gb"/></storeUsage>
      <tempUsage><tempUsage limit="100 mb"/></tempUsage>
    </systemUsage></systemUsage>
    <transportConnectors>
      <transportConnector name="stomp" uri="stomp://127.0.0.1:{plain}"/>
      <transportConnector name="stomp+ssl" uri="stomp+ssl://127.0.0.1:{tls}?transport.needClientAuth=true"/>
    </transportConnectors>
  </broker>
</beans>
"#,
        plain = place.plain,
        tls = place.tls,
    )
}

/// Java's login modules: passcodes with a guest for who gives none; certificates by their subject.
fn login() -> String {
    let module = "org.apache.activemq.jaas";
    format!(
        "passcodes {{\n  \
           {module}.PropertiesLoginModule sufficient org.apache.activemq.jaas.properties.user=\"users.properties\" \
           org.apache.activemq.jaas.properties.group=\"groups.properties\";\n  \
           {module}.GuestLoginModule sufficient credentialsInvalidate=true \
           org.apache.activemq.jaas.guest.user=\"{LOGIN}\" org.apache.activemq.jaas.guest.group=\"sites\";\n\
         }};\n\
         certificates {{\n  \
           {module}.TextFileCertificateLoginModule required \
           org.apache.activemq.jaas.textfiledn.user=\"certificates.properties\" \
           org.apache.activemq.jaas.textfiledn.group=\"groups.properties\";\n\
         }};\n"
    )
}

/// The subjects as Java writes them.
fn certificates() -> String {
    let mut lines = String::new();
    for host in KNOWN_HOSTS {
        writeln!(lines, "{host}=CN={host}, OU=Hosts, O=Sesame, C=UK").unwrap();
    }
    lines
}

fn members() -> String {
    format!("{LOGIN},{}", KNOWN_HOSTS.join(","))
}

fn key_store(place: &Place) {
    let mut command = Command::new(require("openssl"));
    command.args(["pkcs12", "-export", "-name", "broker"]);
    command.arg("-in").arg(&place.host.certificate).arg("-inkey").arg(&place.host.key);
    command.arg("-out").arg(place.folder.join("broker.p12")).arg("-passout").arg(format!("pass:{STORE_PASSWORD}"));
    succeed(&mut command);
}

/// Java takes a certificate in a PKCS#12 file for a trust anchor only with an attribute that `openssl` 3.0 cannot write.
fn trust_store(folder: &Path) {
    let mut command = Command::new(require("keytool"));
    command.args([
        "-importcert",
        "-noprompt",
        "-alias",
        "authority",
        "-storetype",
        "PKCS12",
        "-storepass",
        STORE_PASSWORD,
    ]);
    succeed(command.arg("-file").arg(pki().authority()).arg("-keystore").arg(folder.join("trust.p12")));
}

const LOG: &str = "appender.console.type=Console\nappender.console.name=console\nappender.console.layout.type=PatternLayout\n\
                   appender.console.layout.pattern=%d %p %m%n\nrootLogger.level=INFO\nrootLogger.appenderRef.c.ref=console\n";
