//! Refuses messages of sites that are not listed.
const std = @import("std");
const sesame = @import("sesame/sesame.zig");

pub const panic = sesame.panic;
pub const std_options = sesame.std_options;

comptime {
    sesame.run(.{
        .name = "{{name}}",
        .version = "0.1.0",
        .summary = "Refuses messages of sites that are not listed.",
        .config_schema =
        \\{"type": "object", "required": ["sites"], "additionalProperties": false,
        \\ "properties": {"sites": {"type": "array", "items": {"type": "string"}}}}
        ,
        .init = init,
        .validate = validate,
    });
}

var sites: std.StringHashMapUnmanaged(void) = .empty;

fn init(config: sesame.Config) !?[:0]const u8 {
    for (config.list("sites")) |site| try sites.put(sesame.allocator, std.mem.span(site.?), {});
    return if (sites.count() == 0) "list at least one site in `sites`" else null;
}

/// A finding of severity error makes the message invalid. Records end with a line `%%`.
fn validate(message: sesame.Message, answer: sesame.Answer) !void {
    const field = "Site: ";
    var record: u32 = 1;
    var named = false;
    var lines = message.lines();
    while (lines.next()) |line| {
        if (std.mem.eql(u8, line, "%%")) record += 1;
        if (!std.mem.startsWith(u8, line, field)) continue;
        named = true;
        const site = line[field.len..];
        if (sites.contains(site)) continue;
        _ = answer.@"error"("site.unknown", "is not a listed site").inRecord(record).inField("Site", site);
    }
    if (!named) _ = answer.@"error"("site.missing", "no record names its site");
}
