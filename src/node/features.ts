import type { Hono } from 'hono'
import type { AppEnv } from './app-env.ts'
import { openAuthorization } from './auth/authorization.ts'
import type { Grant } from '../grants/grant.ts'
import type { UploadHooks } from '../hooks.ts'
import type { Config } from './config.ts'
import type { Logs } from './logger.ts'
import type { Storage } from './storage.ts'

/** What the server knows about a request, for the hooks of all its features. */
export interface RequestContext {
  /** What the client's token or signed URL claims, once it is verified. */
  readonly claims?: Readonly<Record<string, unknown>>
  /** What the signed URL allows by which the request came. */
  readonly grant?: Grant
}

/** A part of the server that can be switched on: authorization, webhooks, metrics. */
export interface Feature {
  readonly hooks?: UploadHooks<RequestContext>
  /** Adds endpoints of its own, outside of those of uploads. */
  readonly routes?: (app: Hono<AppEnv>) => void
  /** Ends its work, after the last request. */
  readonly close?: () => Promise<void>
}

/**
 * The features that the configuration asks for, in the order in which their hooks run.
 * @throws Error that says in one line why one cannot start.
 */
export async function openFeatures(config: Config, logs: Logs, _storage: Storage): Promise<readonly Feature[]> {
  return [openAuthorization(config, logs.server)].filter((feature) => feature !== null)
}
