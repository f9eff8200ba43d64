import type { UploadHooks } from '../hooks.ts'
import type { CorsOptions, TusHandlerOptions } from '../options.ts'
import type { Config } from './config.ts'

/** The configuration in the handler's terms. */
export function handlerOptions(config: Config): Omit<TusHandlerOptions, 'store' | keyof UploadHooks> {
  const { baseUrl, behindProxy, enableConcatenation, disableChecksum, expirationTtl } = config
  return {
    path: config.basePath,
    maxSize: config.maxSize,
    lockTimeoutMs: milliseconds(config.lockTimeout),
    idleTimeoutMs: milliseconds(config.idleTimeout),
    minRate: config.minRate,
    minRateWindowMs: milliseconds(config.minRateWindow),
    // As often as tusd tells of progress.
    progressIntervalMs: 1000,
    // The next request may come to another thread, or server, which knows nothing of it.
    waitForProgress: true,
    downloads: config.enableDownload,
    removePartials: config.enableCleanupConcatPartials,
    extensions: {
      creation: !config.disableCreation,
      'creation-with-upload': !config.disableCreationWithUpload,
      'creation-defer-length': !config.disableDeferLength,
      termination: !config.disableTermination,
      checksum: !disableChecksum,
      'checksum-trailer': !disableChecksum,
      concatenation: enableConcatenation,
      'concatenation-unfinished': enableConcatenation,
    },
    location: { trustForwarded: behindProxy, ...(baseUrl !== undefined && { baseUrl }) },
    cors: config.disableCors ? false : corsOptions(config),
    ...(config.enableExpiration &&
      expirationTtl !== undefined && { expiration: { afterMs: milliseconds(expirationTtl) } }),
  }
}

function corsOptions(config: Config): CorsOptions {
  return {
    allowOrigin: config.corsAllowOrigin,
    allowCredentials: config.corsAllowCredentials,
    allowHeaders: config.corsAllowHeaders ?? [],
    exposeHeaders: config.corsExposeHeaders ?? [],
    maxAgeSeconds: config.corsMaxAge,
  }
}

function milliseconds(seconds: number): number {
  return Math.round(seconds * 1000)
}
