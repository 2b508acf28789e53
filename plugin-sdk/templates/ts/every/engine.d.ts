/** What the engine and the helper provide beside the language itself: there is nothing of a browser or of node. */

/** Writes to the plugin's log. */
declare const console: {
  debug(...values: unknown[]): void;
  log(...values: unknown[]): void;
  info(...values: unknown[]): void;
  warn(...values: unknown[]): void;
  error(...values: unknown[]): void;
  trace(...values: unknown[]): void;
};

/** Milliseconds since the call began, and the time when it did, as `Date.now()` has it. */
declare const performance: { now(): number; timeOrigin: number };

declare function atob(text: string): string;
declare function btoa(characters: string): string;
declare function queueMicrotask(task: () => void): void;
