import type { Hono } from 'hono'
import type { AppEnv } from './app-env.ts'
import type { UploadHooks } from '../hooks.ts'
import type { Config } from './config.ts'
import { openHooks } from './hooks/feature.ts'
import type { Logs } from './logger.ts'
import type { Storage } from './storage.ts'

/** What the server knows about a request, for the hooks of all its features. */
export interface RequestContext {
  /** What the client's token claims, once it is verified. */
  readonly claims?: Readonly<Record<string, unknown>>
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
export async function openFeatures(config: Config, logs: Logs, storage: Storage): Promise<readonly Feature[]> {
  const features = [openHooks(config, logs, storage)]
  return features.filter((feature) => feature !== null)
}
