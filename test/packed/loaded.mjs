/** Preloaded by `--import`: says at the end which packages were loaded, in a line of its own on standard error. */
import { registerHooks } from 'node:module'

const packages = new Set()
registerHooks({
  load(url, context, next) {
    for (const [, name] of url.matchAll(/\/node_modules\/((?:@[^/]+\/)?[^/]+)/g)) packages.add(name)
    return next(url, context)
  },
})
process.once('exit', () => console.error(`loaded: ${[...packages].map(String).sort().join(' ')}`))
