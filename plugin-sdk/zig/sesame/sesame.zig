//! The contract of Sesame for a plugin written in Zig, over the functions of `sesame.h`. Start at `Plugin`, which says what
//! a plugin is; everything else is called by it.
//!
//! Texts are UTF-8. Those of a message are valid during the call; what an answer is given is copied. An instance ends with
//! its message, so nothing needs to be freed. An error that a function returns is a failure of the plugin, with its name.
const std = @import("std");

/// Which roles `wit/world.wit` exports; `sesame plugin build` writes it.
const world = @import("world");

/// A plugin: what it is, and one function for each role of `wit/world.wit`.
pub const Plugin = struct {
    name: [:0]const u8,
    version: [:0]const u8,
    summary: [:0]const u8,
    /// The JSON Schema of `[config]`, which the host checks before `init`.
    config_schema: ?[:0]const u8 = null,
    /// Takes the operator's `[config]`. Returns a sentence for the operator about what is wrong with it, or null.
    init: ?*const fn (config: Config) anyerror!?[:0]const u8 = null,
    /// A finding of severity error makes the message invalid; an answer without one accepts it.
    validate: ?*const fn (message: Message, answer: Answer) anyerror!void = null,
    /// Without a call of `replace`, `split` or `drop` the message is unchanged.
    transform: ?*const fn (message: Message, change: Change) anyerror!void = null,
    /// Without a call of `to` the message takes the default route.
    route: ?*const fn (message: Message, routes: Routes) anyerror!void = null,
};

/// Memory, until the instance ends.
pub const allocator = std.heap.c_allocator;

/// For the plugin's file: `pub const panic = sesame.panic;` reports what the language finds wrong, such as an overflow.
pub const panic = std.debug.FullPanic(report);

/// For the plugin's file: `pub const std_options = sesame.std_options;` has `std.log` write to the plugin's log.
pub const std_options: std.Options = .{ .logFn = writeLog };

/// Gives up with a text for the operator, and the place: `sesame.giveUp(@src(), "out of {s}", .{"cheese"})`.
pub fn giveUp(place: std.builtin.SourceLocation, comptime format: []const u8, values: anytype) noreturn {
    sesame_panic_at(place.file, @intCast(place.line), "%s", text(format, values).ptr);
}

/// A text of the values.
pub fn text(comptime format: []const u8, values: anytype) [:0]const u8 {
    return std.fmt.allocPrintSentinel(allocator, format, values, 0) catch "out of memory";
}

/// The operator's `[config]`. A key that is absent or of another type has the value that is given for it; the schema
/// reports types to the operator.
pub const Config = struct {
    raw: *const RawConfig,

    pub fn string(config: Config, key: [:0]const u8, absent: [:0]const u8) [:0]const u8 {
        return std.mem.span(sesame_config_text(config.raw, key, absent));
    }

    pub fn number(config: Config, key: [:0]const u8, absent: f64) f64 {
        return sesame_config_number(config.raw, key, absent);
    }

    pub fn flag(config: Config, key: [:0]const u8, absent: bool) bool {
        return sesame_config_flag(config.raw, key, absent);
    }

    /// The texts of a list; empty where it is absent.
    pub fn list(config: Config, key: [:0]const u8) []const ?[*:0]const u8 {
        return std.mem.span(sesame_config_list(config.raw, key));
    }

    /// Any value as its JSON text.
    pub fn json(config: Config, key: [:0]const u8) ?[:0]const u8 {
        return std.mem.span(sesame_config_json(config.raw, key) orelse return null);
    }
};

/// A message with its context.
pub const Message = struct {
    raw: *const RawMessage,

    pub fn payload(message: Message) []const u8 {
        return message.raw.payload.slice();
    }

    /// The lines, without their ends.
    pub fn lines(message: Message) Lines {
        return .{ .message = message.raw };
    }

    /// All that is known of the message.
    pub fn context(message: Message) *const Context {
        return &message.raw.context;
    }
};

/// An iterator over the lines of a message.
pub const Lines = struct {
    message: *const RawMessage,
    at: usize = 0,

    pub fn next(lines: *Lines) ?[]const u8 {
        var line: Text = undefined;
        return if (sesame_next_line(lines.message, &lines.at, &line)) line.slice() else null;
    }
};

/// One thing that a plugin found in a message.
pub const Finding = struct {
    raw: *RawFinding,

    /// Names the record, counted from 1.
    pub fn inRecord(finding: Finding, number: u32) Finding {
        return .{ .raw = sesame_in_record(finding.raw, number) };
    }

    /// Names the field and its content, which the host stores only with the message.
    pub fn inField(finding: Finding, field: [:0]const u8, value: []const u8) Finding {
        return .{ .raw = sesame_in_field(finding.raw, field, value.ptr, value.len) };
    }
};

/// What is said of a message. Put content of the message into `inField`, not into a sentence.
pub const Answer = struct {
    raw: *RawAnswer,

    pub fn @"error"(answer: Answer, code: [:0]const u8, sentence: [:0]const u8) Finding {
        return .{ .raw = sesame_error(answer.raw, code, "%s", sentence.ptr) };
    }

    pub fn warning(answer: Answer, code: [:0]const u8, sentence: [:0]const u8) Finding {
        return .{ .raw = sesame_warning(answer.raw, code, "%s", sentence.ptr) };
    }

    pub fn info(answer: Answer, code: [:0]const u8, sentence: [:0]const u8) Finding {
        return .{ .raw = sesame_info(answer.raw, code, "%s", sentence.ptr) };
    }

    /// The message cannot be decided on yet: it is tried again after at least `after` milliseconds.
    pub fn retry(answer: Answer, after: u32, reason: [:0]const u8) void {
        sesame_retry(answer.raw, after, "%s", reason.ptr);
    }

    /// The plugin failed: the operator's `on-error` applies. So does an error that the function returns.
    pub fn fail(answer: Answer, reason: [:0]const u8) void {
        sesame_fail(answer.raw, "%s", reason.ptr);
    }
};

/// New content.
pub const Part = struct {
    raw: *RawPart,

    pub fn setHeader(part: Part, name: [:0]const u8, value: [:0]const u8) void {
        sesame_set_header(part.raw, name, value);
    }

    pub fn setContentType(part: Part, content_type: [:0]const u8) void {
        sesame_set_content_type(part.raw, content_type);
    }

    /// Sends a part of a split to the reject queue with this finding.
    pub fn refuse(part: Part, code: [:0]const u8, sentence: [:0]const u8) Finding {
        return .{ .raw = sesame_refuse(part.raw, code, sentence) };
    }
};

/// What becomes of a message.
pub const Change = struct {
    answer: Answer,

    /// Gives the message new content.
    pub fn replace(change: Change, content: []const u8) Part {
        return .{ .raw = sesame_replace(change.answer.raw, content.ptr, content.len) };
    }

    /// Adds one part of a split.
    pub fn split(change: Change, content: []const u8) Part {
        return .{ .raw = sesame_split(change.answer.raw, content.ptr, content.len) };
    }

    /// Discards the message.
    pub fn drop(change: Change, code: [:0]const u8, sentence: [:0]const u8) Finding {
        return .{ .raw = sesame_drop(change.answer.raw, code, sentence) };
    }
};

/// Where a message goes.
pub const Routes = struct {
    answer: Answer,

    /// Adds a route by its name.
    pub fn to(routes: Routes, name: [:0]const u8) void {
        sesame_route_to(routes.answer.raw, name);
    }
};

// The contract's types, as `contract.h` has them.

pub const Text = extern struct {
    ptr: ?[*]const u8,
    len: usize,

    pub fn slice(given: Text) []const u8 {
        return if (given.ptr) |ptr| ptr[0..given.len] else "";
    }
};

pub const Pair = extern struct { name: Text, value: Text };

pub const Pairs = extern struct {
    ptr: ?[*]const Pair,
    len: usize,

    /// The value of the first of this name.
    pub fn find(pairs: Pairs, name: []const u8) ?[]const u8 {
        const all = if (pairs.ptr) |ptr| ptr[0..pairs.len] else return null;
        for (all) |pair| {
            if (std.mem.eql(u8, pair.name.slice(), name)) return pair.value.slice();
        }
        return null;
    }
};

pub const Direction = enum(u8) { outbound, inbound };

pub const Signer = extern struct {
    subject: Text,
    issuer: Text,
    serial: Text,
    /// Seconds since 1970-01-01T00:00:00Z.
    not_after: u64,
    certificate: Text,
    properties: Pairs,
};

pub const Context = extern struct {
    direction: Direction,
    message_id: Text,
    channel: Text,
    destination: Text,
    content_type: extern struct { is_some: bool, value: Text },
    /// Absent when outbound.
    signer: extern struct { is_some: bool, value: Signer },
    /// Milliseconds since 1970-01-01T00:00:00Z.
    received_at: u64,
    attempt: u32,
    transport_headers: Pairs,
    properties: Pairs,
};

const RawMessage = extern struct { context: Context, payload: Text };
const RawConfig = opaque {};
const RawAnswer = opaque {};
const RawFinding = opaque {};
const RawPart = opaque {};

const Description = extern struct {
    name: [*:0]const u8,
    version: [*:0]const u8,
    summary: [*:0]const u8,
    config_schema: ?[*:0]const u8,
};

extern fn sesame_panic_at(file: [*:0]const u8, line: c_int, format: [*:0]const u8, ...) noreturn;
extern fn sesame_tell(message: [*:0]const u8) void;
extern fn sesame_log(level: u8, format: [*:0]const u8, ...) void;
extern fn sesame_config_text(*const RawConfig, key: [*:0]const u8, absent: [*:0]const u8) [*:0]const u8;
extern fn sesame_config_number(*const RawConfig, key: [*:0]const u8, absent: f64) f64;
extern fn sesame_config_flag(*const RawConfig, key: [*:0]const u8, absent: bool) bool;
extern fn sesame_config_list(*const RawConfig, key: [*:0]const u8) [*:null]const ?[*:0]const u8;
extern fn sesame_config_json(*const RawConfig, key: [*:0]const u8) ?[*:0]const u8;
extern fn sesame_next_line(*const RawMessage, at: *usize, line: *Text) bool;
extern fn sesame_error(*RawAnswer, code: [*:0]const u8, format: [*:0]const u8, ...) *RawFinding;
extern fn sesame_warning(*RawAnswer, code: [*:0]const u8, format: [*:0]const u8, ...) *RawFinding;
extern fn sesame_info(*RawAnswer, code: [*:0]const u8, format: [*:0]const u8, ...) *RawFinding;
extern fn sesame_in_record(*RawFinding, number: u32) *RawFinding;
extern fn sesame_in_field(*RawFinding, field: [*:0]const u8, value: ?[*]const u8, length: usize) *RawFinding;
extern fn sesame_retry(*RawAnswer, after: u32, format: [*:0]const u8, ...) void;
extern fn sesame_fail(*RawAnswer, format: [*:0]const u8, ...) void;
extern fn sesame_replace(*RawAnswer, content: ?[*]const u8, length: usize) *RawPart;
extern fn sesame_split(*RawAnswer, content: ?[*]const u8, length: usize) *RawPart;
extern fn sesame_refuse(*RawPart, code: [*:0]const u8, sentence: [*:0]const u8) *RawFinding;
extern fn sesame_set_header(*RawPart, name: [*:0]const u8, value: [*:0]const u8) void;
extern fn sesame_set_content_type(*RawPart, content_type: [*:0]const u8) void;
extern fn sesame_drop(*RawAnswer, code: [*:0]const u8, sentence: [*:0]const u8) *RawFinding;
extern fn sesame_route_to(*RawAnswer, name: [*:0]const u8) void;

/// Makes the component's functions of the plugin's: `comptime { sesame.run(plugin); }`.
pub fn run(comptime plugin: Plugin) void {
    const made = struct {
        const description: Description = .{
            .name = plugin.name,
            .version = plugin.version,
            .summary = plugin.summary,
            .config_schema = if (plugin.config_schema) |schema| schema.ptr else null,
        };

        fn init(config: *const RawConfig) callconv(.c) ?[*:0]const u8 {
            const function = plugin.init orelse return null;
            const wrong = function(.{ .raw = config }) catch |failed| text("init failed: {s}", .{@errorName(failed)});
            return if (wrong) |sentence| sentence.ptr else null;
        }

        fn validate(message: *const RawMessage, answer: *RawAnswer) callconv(.c) void {
            plugin.validate.?(.{ .raw = message }, .{ .raw = answer }) catch |failed| fail(answer, failed);
        }

        fn transform(message: *const RawMessage, answer: *RawAnswer) callconv(.c) void {
            const change: Change = .{ .answer = .{ .raw = answer } };
            plugin.transform.?(.{ .raw = message }, change) catch |failed| fail(answer, failed);
        }

        fn route(message: *const RawMessage, answer: *RawAnswer) callconv(.c) void {
            const routes: Routes = .{ .answer = .{ .raw = answer } };
            plugin.route.?(.{ .raw = message }, routes) catch |failed| fail(answer, failed);
        }
    };
    @export(&made.description, .{ .name = "sesame_this_plugin" });
    @export(&made.init, .{ .name = "sesame_init" });
    if (has("validator", world.validator, "validate", plugin.validate != null)) {
        @export(&made.validate, .{ .name = "sesame_validate" });
    }
    if (has("transformer", world.transformer, "transform", plugin.transform != null)) {
        @export(&made.transform, .{ .name = "sesame_transform" });
    }
    if (has("router", world.router, "route", plugin.route != null)) {
        @export(&made.route, .{ .name = "sesame_route" });
    }
}

/// Whether the plugin has a role. Its function and the world's export belong together.
fn has(comptime role: []const u8, comptime exported: bool, comptime function: []const u8, comptime given: bool) bool {
    const named = "the plugin has a function `" ++ function ++ "`, and wit/world.wit does not include ";
    if (given and !exported) @compileError(named ++ role ++ "-plugin");
    const missing = ", and the plugin has no function `" ++ function ++ "`";
    if (exported and !given) @compileError("wit/world.wit exports the role " ++ role ++ missing);
    return given;
}

fn fail(answer: *RawAnswer, failed: anyerror) void {
    sesame_fail(answer, "error.%s", @errorName(failed).ptr);
}

fn report(message: []const u8, _: ?usize) noreturn {
    @branchHint(.cold);
    sesame_tell(text("panicked: {s}\n", .{message}));
    @trap();
}

fn writeLog(
    comptime level: std.log.Level,
    comptime scope: @EnumLiteral(),
    comptime format: []const u8,
    values: anytype,
) void {
    const number: u8 = switch (level) {
        .debug => 1,
        .info => 2,
        .warn => 3,
        .err => 4,
    };
    const prefix = if (scope == .default) "" else "(" ++ @tagName(scope) ++ ") ";
    sesame_log(number, "%s", text(prefix ++ format, values).ptr);
}
