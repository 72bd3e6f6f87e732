// Builds the tracker into logs/static/logs/, where the store serves it.
//
// With --check nothing is written: it fails unless the files that are there are what the source makes, and small.
import assert from 'node:assert/strict';
import {readFile, writeFile} from 'node:fs/promises';
import {gzipSync} from 'node:zlib';
import {build} from 'esbuild';

const MAX_GZIPPED_BYTES = 2048;
const STATIC = new URL('../logs/static/logs/', import.meta.url);

/** @type {Record<string, import('esbuild').BuildOptions>} */
const FILES = {
    'tracker.mjs': {entryPoints: ['src/tracker.ts'], format: 'esm'},
    'tracker.js': {entryPoints: ['src/script.ts'], format: 'iife'},
};

for (const [name, options] of Object.entries(FILES)) {
    const {outputFiles} = await build({
        ...options,
        absWorkingDir: import.meta.dirname,
        bundle: true,
        minify: true,
        target: 'es2022',
        write: false,
    });
    const made = Buffer.from(outputFiles?.[0]?.contents ?? []);
    const size = gzipSync(made, {level: 9}).length;
    assert(size < MAX_GZIPPED_BYTES, `${name} has ${size} bytes gzipped; at most ${MAX_GZIPPED_BYTES - 1} may be`);
    const place = new URL(name, STATIC);
    if (process.argv.includes('--check')) {
        assert(made.equals(await readFile(place)), `${name} is not what the source makes: npm run build`);
    } else {
        await writeFile(place, made);
    }
    console.log(`${name}: ${made.length} bytes, ${size} gzipped`);
}
