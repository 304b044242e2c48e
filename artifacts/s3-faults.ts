/** What S3 and the network report, as what the user can do about it. */

export interface S3Fault {
  /** What is wrong, and what to change. */
  readonly message: string;
  /** Whether another attempt may succeed. */
  readonly transient: boolean;
  /** Whether the server has no space left. */
  readonly full?: boolean;
}

/** The create-only write found the name taken. */
export function takenCode(error: unknown): boolean {
  return codeOf(error) === 'PreconditionFailed';
}

/** https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html#ErrorCodeList */
export function faultOf(error: unknown, bucket: string, endpoint: string): S3Fault | 'missing' {
  const code = codeOf(error);
  const detail = error instanceof Error ? error.message : String(error);
  switch (code) {
    case 'NoSuchKey':
    case 'NotFound':
      return 'missing';
    case 'NoSuchBucket':
      return permanent(`there is no bucket "${bucket}" at ${endpoint}. Create it, or correct HARDCASE_STORE.`);
    case 'InvalidAccessKeyId':
      return permanent(`${endpoint} does not know the access key. Correct AWS_ACCESS_KEY_ID.`);
    case 'SignatureDoesNotMatch':
      return permanent(`${endpoint} refuses the password. Correct AWS_SECRET_ACCESS_KEY.`);
    case 'ExpiredToken':
    case 'InvalidToken':
    case 'TokenRefreshRequired':
      return permanent(`the session has expired (${detail}). Renew AWS_SESSION_TOKEN and the keys that belong to it.`);
    case 'AccessDenied':
    case 'AllAccessDisabled':
    case 'AccountProblem':
      return permanent(
        `access to the bucket "${bucket}" is denied (${detail}). Allow this key s3:ListBucket, s3:GetObject, s3:PutObject and s3:DeleteObject there.`,
      );
    case 'PermanentRedirect':
    case 'MovedPermanently':
    case 'TemporaryRedirect':
    case 'AuthorizationHeaderMalformed':
    case 'IllegalLocationConstraintException':
      return permanent(
        `the bucket "${bucket}" is in another region (${detail}). Set AWS_REGION to the bucket's region.`,
      );
    case 'RequestTimeTooSkewed':
      return permanent(`this machine's clock is wrong (${detail}). Set it, then run again.`);
    case 'XMinioStorageFull':
    case 'QuotaExceeded':
    case 'XMinioAdminBucketQuotaExceeded':
      return {
        message: `the server's disk is full (${detail}). Free some space there, then run again.`,
        transient: true,
        full: true,
      };
    case 'ECONNREFUSED':
    case 'ENOTFOUND':
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
      return {
        message: `no S3 server answers at ${endpoint} (${detail}). Start it, or correct AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL.`,
        transient: true,
      };
    case 'EPROTO':
    case 'ERR_SSL_WRONG_VERSION_NUMBER':
    case 'DEPTH_ZERO_SELF_SIGNED_CERT':
    case 'SELF_SIGNED_CERT_IN_CHAIN':
    case 'UNABLE_TO_VERIFY_LEAF_SIGNATURE':
    case 'CERT_HAS_EXPIRED':
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
      return permanent(
        `no secure connection to ${endpoint} (${detail}). Check http or https in AWS_ENDPOINT_URL, and NODE_EXTRA_CA_CERTS for a private certificate.`,
      );
    default:
      return isTransient(code, detail)
        ? { message: `${endpoint} failed for now (${detail}). Run again when the server is well.`, transient: true }
        : permanent(`${endpoint} answered ${code ?? 'an error'} (${detail}).`);
  }
}

const TRANSIENT_CODES: ReadonlySet<string> = new Set([
  'ECONNRESET',
  'ECONNABORTED',
  'ETIMEDOUT',
  'EPIPE',
  'EAI_AGAIN',
  'SlowDown',
  'InternalError',
  'ServiceUnavailable',
  'RequestTimeout',
  'OperationAborted',
  // Two create-only writes at the same time: the one told so tries again and then sees the winner.
  'ConditionalRequestConflict',
  'XMinioServerNotInitialized',
]);

/** minio answers a status that it deems passing by an error of this text, without a code. */
function isTransient(code: string | undefined, detail: string): boolean {
  return (
    (code !== undefined && TRANSIENT_CODES.has(code)) || /Retryable HTTP status|socket hang up|aborted/.test(detail)
  );
}

function permanent(message: string): S3Fault {
  return { message, transient: false };
}

function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}
