//! Sends messages of listed sites to a route of their own.
const std = @import("std");
const sesame = @import("sesame/sesame.zig");

pub const panic = sesame.panic;
pub const std_options = sesame.std_options;

comptime {
    sesame.run(.{
        .name = "{{name}}",
        .version = "0.1.0",
        .summary = "Sends messages of listed sites to a route of their own.",
        .config_schema =
        \\{"type": "object", "required": ["sites", "route"], "additionalProperties": false,
        \\ "properties": {"sites": {"type": "array", "items": {"type": "string"}}, "route": {"type": "string"}}}
        ,
        .init = init,
        .route = route,
    });
}

var sites: std.StringHashMapUnmanaged(void) = .empty;
var name: [:0]const u8 = "";

fn init(config: sesame.Config) !?[:0]const u8 {
    for (config.list("sites")) |site| try sites.put(sesame.allocator, std.mem.span(site.?), {});
    name = config.string("route", "");
    return if (sites.count() == 0) "list at least one site in `sites`" else null;
}

/// Without a call of `to` the message takes the default route.
fn route(message: sesame.Message, routes: sesame.Routes) !void {
    const field = "Site: ";
    var named = false;
    var lines = message.lines();
    while (lines.next()) |line| {
        if (!std.mem.startsWith(u8, line, field)) continue;
        named = true;
        if (!sites.contains(line[field.len..])) return;
    }
    if (named) routes.to(name);
}
