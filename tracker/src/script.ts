// The tracker as a plain script: `new LogStore(…)` without an import.
import {LogStore} from './tracker';

Object.assign(globalThis, {LogStore});
