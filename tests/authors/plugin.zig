//! Does what the message says, in every role: for the tests of the helper.
const std = @import("std");
const sesame = @import("sesame/sesame.zig");

pub const panic = sesame.panic;
pub const std_options = sesame.std_options;

comptime {
    sesame.run(.{
        .name = "obedient",
        .version = "0.1.0",
        .summary = "Does what the message says.",
        .init = init,
        .validate = validate,
        .transform = transform,
        .route = route,
    });
}

fn init(config: sesame.Config) !?[:0]const u8 {
    var read = std.mem.eql(u8, config.string("text", ""), "é😀\"\n\t\x01");
    read = read and config.number("number", 0) == -2.5 and config.flag("flag", false);
    read = read and config.list("mixed").len == 0 and config.json("nested") != null;
    return if (read and config.json("absent") == null) null else "the configuration is not what was written";
}

fn says(message: sesame.Message, word: []const u8) bool {
    var lines = message.lines();
    return std.mem.eql(u8, lines.next() orelse "", word);
}

fn validate(message: sesame.Message, answer: sesame.Answer) !void {
    if (says(message, "give up")) sesame.giveUp(@src(), "out of {s}", .{"cheese"});
    if (says(message, "overflow")) std.mem.doNotOptimizeAway(message.payload()[message.payload().len]);
    if (says(message, "error")) return error.OutOfCheese;
    if (says(message, "later")) answer.retry(5000, "not yet");
    if (says(message, "warn")) {
        std.log.warn("odd: {d}", .{1});
        _ = answer.warning("x.odd", "is odd");
    }
    if (says(message, "invalid")) _ = answer.@"error"("x.bad", "is bad").inRecord(3).inField("F", "größer");
}

fn transform(message: sesame.Message, change: sesame.Change) !void {
    if (says(message, "replace")) {
        const part = change.replace("größer\n");
        part.setContentType("text/x-new");
        part.setHeader("x-kind", "new");
    }
    if (says(message, "split")) {
        _ = change.split("one");
        _ = change.split("two").refuse("x.part", "is bad");
        _ = change.answer.info("x.note", "in two");
    }
    if (says(message, "drop")) _ = change.drop("x.unwanted", "is not wanted");
}

/// What the types say of a message is so.
fn isTyped(context: *const sesame.Context) bool {
    const signer = context.signer.value;
    const plain = context.received_at == 1767225600000 and context.attempt == 1 and !context.content_type.is_some;
    const serial = std.mem.eql(u8, signer.serial.slice(), "01");
    const signed = context.signer.is_some and signer.not_after == 1798761600 and serial;
    const named = context.properties.find("max-payload-bytes") != null and context.transport_headers.len == 0;
    const channel = std.mem.eql(u8, context.channel.slice(), "test");
    return plain and signed and named and channel and context.direction == .inbound;
}

fn route(message: sesame.Message, routes: sesame.Routes) !void {
    if (!says(message, "route") or !isTyped(message.context())) return;
    routes.to("cloud");
    routes.to("default");
}
