import type { Config } from '../config.ts'
import type { QuotaLimits } from './ledger.ts'

/** The configuration in the ledger's terms. */
export function quotaLimits(config: Config): QuotaLimits {
  return {
    active: config.maxActiveUploads,
    activePerClient: config.maxActiveUploadsPerClient,
    bytesPerClient: config.maxBytesPerClient,
    periodMs: config.maxBytesPeriod * 1000,
  }
}
