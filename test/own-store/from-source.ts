/** Imported first: whatever then imports the package by its name gets the sources that are tested. */
import { registerHooks } from 'node:module'

registerHooks({
  resolve(specifier, context, next) {
    if (!/^fileloft(\/|$)/.test(specifier)) return next(specifier, context)
    const subpath = specifier.slice('fileloft/'.length)
    const source = subpath === '' ? 'index' : subpath === 'node' ? 'node/index' : subpath
    return next(new URL(`../../src/${source}.ts`, import.meta.url).href, context)
  },
})
