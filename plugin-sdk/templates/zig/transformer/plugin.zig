//! Gives a site that was renamed its new name.
const std = @import("std");
const sesame = @import("sesame/sesame.zig");

pub const panic = sesame.panic;
pub const std_options = sesame.std_options;

comptime {
    sesame.run(.{
        .name = "{{name}}",
        .version = "0.1.0",
        .summary = "Gives a site that was renamed its new name.",
        .config_schema =
        \\{"type": "object", "required": ["old", "new"], "additionalProperties": false,
        \\ "properties": {"old": {"type": "string"}, "new": {"type": "string"}}}
        ,
        .init = init,
        .transform = transform,
    });
}

/// The line that is replaced, and what replaces it.
var old_line: []const u8 = "";
var new_line: []const u8 = "";

fn init(config: sesame.Config) !?[:0]const u8 {
    const old = config.string("old", "");
    const new = config.string("new", "");
    old_line = sesame.text("Site: {s}", .{old});
    new_line = sesame.text("Site: {s}", .{new});
    return if (old.len == 0 or new.len == 0) "name the site in `old` and `new`" else null;
}

/// Without a call of `replace` the message stays as it is.
fn transform(message: sesame.Message, change: sesame.Change) !void {
    var content: std.ArrayList(u8) = .empty;
    var renamed = false;
    var lines = std.mem.splitScalar(u8, message.payload(), '\n');
    while (lines.next()) |line| {
        const is_old = std.mem.eql(u8, line, old_line);
        renamed = renamed or is_old;
        try content.appendSlice(sesame.allocator, if (is_old) new_line else line);
        if (lines.peek() != null) try content.append(sesame.allocator, '\n');
    }
    if (renamed) _ = change.replace(content.items);
}
