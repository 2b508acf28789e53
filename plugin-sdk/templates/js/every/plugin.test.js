/** Runs the plugin on its test cases outside WebAssembly: `node --test`. */

import { cases } from './sesame-native.js';

await cases('plugin.js');
