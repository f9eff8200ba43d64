const { PATH, NODE_COMPILE_CACHE } = process.env

/**
 * All that programs under test inherit: where programs are, and what earlier processes have compiled (`npm test` says where
 * that is), which is half of a start. A developer's environment changes no result.
 */
export const inherited: Readonly<Record<string, string | undefined>> = {
  PATH,
  ...(NODE_COMPILE_CACHE !== undefined && { NODE_COMPILE_CACHE }),
}
