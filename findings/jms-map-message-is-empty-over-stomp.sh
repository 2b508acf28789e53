#!/usr/bin/env bash
# A JMS MapMessage or ObjectMessage reaches a STOMP subscriber of ActiveMQ as a MESSAGE with an empty body and no error.
#
# Expected: the broker translates it in some way, or says to one side that it cannot; or a header shows that there was content.
# Seen: ActiveMQ 5.17.2 delivers a MESSAGE with no body and no content-length unless the subscriber asks for a
#   `transformation`; it looks like an empty TextMessage, and after the ACK the content is gone. TextMessage and
#   BytesMessage arrive with their content.
# Sesame: an empty body is rejected as `empty`, with a text that names the JMS types (host/smime/src/open/error.rs), and kept.
#
# Output on 2026-11-28:
#   ActiveMQ 5.17.2+dfsg-2+deb12u1
#   TextMessage: MESSAGE without content-length, body "UKI-TEST"
#   BytesMessage: MESSAGE with content-length, body "UKI-TEST"
#   MapMessage: MESSAGE without content-length, body ""
#   ObjectMessage: MESSAGE without content-length, body ""
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/lib/debian-root"
debian_root activemq=5.17.2+dfsg-2+deb12u1 openjdk-17-jre-headless ecj=3.32.0+eclipse4.26-2
mkdir "$ROOT/work"
cat >"$ROOT/work/Finding.java" <<'JAVA'
import java.io.InputStream;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import javax.jms.*;
import org.apache.activemq.ActiveMQConnectionFactory;
import org.apache.activemq.broker.BrokerService;

public class Finding {
    static Socket socket;

    static String frame() throws Exception {
        InputStream in = socket.getInputStream();
        StringBuilder text = new StringBuilder();
        for (int c = in.read(); c > 0 || text.toString().isBlank(); c = in.read()) if (c > 0) text.append((char) c);
        return text.toString().stripLeading();
    }

    static void say(String frame) throws Exception {
        socket.getOutputStream().write((frame + "\0").getBytes(StandardCharsets.UTF_8));
    }

    public static void main(String[] arguments) throws Exception {
        BrokerService broker = new BrokerService();
        broker.setPersistent(false);
        broker.setUseJmx(false);
        broker.addConnector("stomp://127.0.0.1:0");
        broker.start();
        Connection connection = new ActiveMQConnectionFactory("vm://localhost?create=false").createConnection();
        connection.start();
        Session session = connection.createSession(false, Session.AUTO_ACKNOWLEDGE);
        MapMessage map = session.createMapMessage();
        map.setString("Site", "UKI-TEST");
        BytesMessage bytes = session.createBytesMessage();
        bytes.writeBytes("UKI-TEST".getBytes(StandardCharsets.UTF_8));
        Message[] messages = {session.createTextMessage("UKI-TEST"), bytes, map, session.createObjectMessage("UKI-TEST")};
        MessageProducer producer = session.createProducer(session.createQueue("finding"));
        for (Message message : messages) producer.send(message);

        int port = broker.getTransportConnectors().get(0).getConnectUri().getPort();
        socket = new Socket("127.0.0.1", port);
        socket.setSoTimeout(20000);
        say("CONNECT\naccept-version:1.2\nhost:localhost\n\n");
        frame();
        say("SUBSCRIBE\nid:1\ndestination:/queue/finding\nack:auto\n\n");
        String[] kinds = {"TextMessage", "BytesMessage", "MapMessage", "ObjectMessage"};
        for (String kind : kinds) {
            String[] parts = frame().split("\n\n", 2);
            String length = parts[0].contains("content-length:") ? "with" : "without";
            System.out.println(kind + ": " + parts[0].split("\n")[0] + " " + length + " content-length, body \"" + parts[1] + "\"");
        }
        connection.close();
        broker.stop();
        System.exit(0);
    }
}
JAVA
java=$(chroot "$ROOT" sh -c 'ls /usr/lib/jvm/java-17-openjdk-*/bin/java')
jars='/usr/share/activemq/lib/*:/usr/share/activemq/lib/optional/*'
inside "$java" -cp "$(chroot "$ROOT" sh -c 'ls /usr/share/java/*.jar' | tr '\n' ':')" org.eclipse.jdt.internal.compiler.batch.Main \
    -source 17 -target 17 -nowarn -proc:none -classpath "$(chroot "$ROOT" sh -c 'ls /usr/share/activemq/lib/*.jar' | tr '\n' ':')" -d /work /work/Finding.java
seen=$(inside timeout 60 "$java" -cp "/work:$jars" Finding 2>/dev/null)
echo "ActiveMQ $(debian_version activemq)"
echo "$seen"
grep -q '^TextMessage: .*"UKI-TEST"$' <<<"$seen"
grep -q '^BytesMessage: .*"UKI-TEST"$' <<<"$seen"
grep -q '^MapMessage: MESSAGE without content-length, body ""$' <<<"$seen"
grep -q '^ObjectMessage: MESSAGE without content-length, body ""$' <<<"$seen"
