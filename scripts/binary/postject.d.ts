declare module 'postject' {
  /** Writes bytes into an executable, where Node looks for them when the fuse is set. */
  export function inject(
    file: string,
    resource: string,
    bytes: Uint8Array,
    options: { readonly sentinelFuse: string; readonly machoSegmentName?: string },
  ): Promise<void>
}
