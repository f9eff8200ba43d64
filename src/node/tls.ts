import { readFileSync } from 'node:fs'
import { createSecureContext, type SecureContextOptions } from 'node:tls'
import type { Config } from './config.ts'

/**
 * Certificate, key and what the mode allows; null = no TLS.
 * @throws Error when a file cannot be read or the two do not belong together.
 */
export function readTls({ tlsCert, tlsKey, tlsMode }: Config): SecureContextOptions | null {
  if (tlsCert === undefined || tlsKey === undefined) return null
  const options: SecureContextOptions = { ...modes[tlsMode], cert: readPem(tlsCert), key: readPem(tlsKey) }
  try {
    createSecureContext(options)
  } catch (error) {
    throw new Error(`${tlsCert} and ${tlsKey} cannot be used for TLS: ${messageOf(error)}`, { cause: error })
  }
  return options
}

const modes: Record<Config['tlsMode'], SecureContextOptions> = {
  tls12: { minVersion: 'TLSv1.2' },
  tls13: { minVersion: 'TLSv1.3' },
  'tls12-strong': {
    minVersion: 'TLSv1.2',
    honorCipherOrder: true,
    // Forward secrecy and authenticated encryption only.
    ciphers: [
      'TLS_AES_256_GCM_SHA384',
      'TLS_CHACHA20_POLY1305_SHA256',
      'TLS_AES_128_GCM_SHA256',
      'ECDHE-ECDSA-AES256-GCM-SHA384',
      'ECDHE-RSA-AES256-GCM-SHA384',
      'ECDHE-ECDSA-CHACHA20-POLY1305',
      'ECDHE-RSA-CHACHA20-POLY1305',
      'ECDHE-ECDSA-AES128-GCM-SHA256',
      'ECDHE-RSA-AES128-GCM-SHA256',
    ].join(':'),
  },
}

function readPem(path: string): Buffer {
  try {
    return readFileSync(path)
  } catch (error) {
    throw new Error(`${path} cannot be read: ${messageOf(error)}`, { cause: error })
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
