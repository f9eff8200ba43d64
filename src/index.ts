export { combineHooks } from './combine.ts'
export { createTusHandler } from './handler.ts'
export { isValidId } from './id.ts'
export { formatMetadata, parseMetadata } from './metadata.ts'
export type {
  AppendOptions,
  Attributes,
  ByteRange,
  Concat,
  ConcatenateOptions,
  Leftover,
  NewUpload,
  Store,
  Upload,
  UploadChange,
} from './store.ts'
export type { AcquireOptions, Lock, Locker } from './locker.ts'
export type {
  AccessEvent,
  CreateEvent,
  Creation,
  LimitEvent,
  Operation,
  ProgressEvent,
  Reply,
  RequestEvent,
  RequestInfo,
  UploadEvent,
  UploadHooks,
} from './hooks.ts'
export type { Platform } from './platform.ts'
export type {
  CorsOptions,
  ExpirationOptions,
  Extension,
  LocationOptions,
  OriginRule,
  SweepResult,
  TusHandler,
  TusHandlerOptions,
} from './options.ts'
export { StoreError, TusError, type StoreErrorCode, type TusErrorCode } from './errors.ts'
