import { ChangeEvent } from 'react';
import { DataSourcePluginOptionsEditorProps } from '@grafana/data';
import { DataSourceHttpSettings, FieldSet, InlineField, Input, SecretInput } from '@grafana/ui';
import { SluiceOptions, SluiceSecrets } from '../types';

type Props = DataSourcePluginOptionsEditorProps<SluiceOptions, SluiceSecrets>;

/** Where the server is, who we are to it, and what a query may take. Secrets leave the page once and never come back. */
export function ConfigEditor({ options, onOptionsChange }: Props) {
  const { jsonData, secureJsonFields, secureJsonData } = options;
  const set = (part: Partial<SluiceOptions>) => onOptionsChange({ ...options, jsonData: { ...jsonData, ...part } });
  const setToken = (token: string, isKept: boolean) =>
    onOptionsChange({ ...options, secureJsonFields: { ...secureJsonFields, token: isKept }, secureJsonData: { ...secureJsonData, token } });
  const number = (e: ChangeEvent<HTMLInputElement>) => Math.floor(Number(e.currentTarget.value)) || undefined;
  return (
    <>
      <FieldSet label="Token">
        <InlineField label="Bearer token" labelWidth={24} tooltip="sluiced token add --role read --name grafana. A dashboard never needs more than the role read.">
          <SecretInput
            aria-label="Bearer token"
            width={50}
            isConfigured={Boolean(secureJsonFields?.token)}
            value={secureJsonData?.token ?? ''}
            placeholder="none: a server on loopback without tokens"
            onChange={(e) => setToken(e.currentTarget.value, false)}
            onReset={() => setToken('', false)}
          />
        </InlineField>
      </FieldSet>
      {/* eslint-disable-next-line @typescript-eslint/no-deprecated -- Grafana brings it; what is to follow it would be seventeen packages of ours */}
      <DataSourceHttpSettings defaultUrl="http://127.0.0.1:8080" dataSourceConfig={options} onChange={onOptionsChange} showAccessOptions={false} showForwardOAuthIdentityOption />
      <FieldSet label="Queries">
        <InlineField label="Time limit" labelWidth={24} tooltip="Seconds that one query may take on the server. The server's own limit holds too.">
          <Input aria-label="Time limit" type="number" min={1} width={20} placeholder="60" value={jsonData.queryTimeoutSeconds ?? ''} onChange={(e: ChangeEvent<HTMLInputElement>) => set({ queryTimeoutSeconds: number(e) })} />
        </InlineField>
        <InlineField label="Rows at most" labelWidth={24} tooltip="Of one answer, unless a query says otherwise; at most 100,000">
          <Input aria-label="Rows at most" type="number" min={1} max={100000} width={20} placeholder="10000" value={jsonData.maxRows ?? ''} onChange={(e: ChangeEvent<HTMLInputElement>) => set({ maxRows: number(e) })} />
        </InlineField>
      </FieldSet>
      <FieldSet label="Tenant">
        <InlineField label="Tenant" labelWidth={24} tooltip="Sent with every request, for a proxy in front of several servers">
          <Input aria-label="Tenant" width={30} placeholder="none" value={jsonData.tenant ?? ''} onChange={(e: ChangeEvent<HTMLInputElement>) => set({ tenant: e.currentTarget.value || undefined })} />
        </InlineField>
        <InlineField label="Header" labelWidth={24}>
          <Input
            aria-label="Tenant header"
            width={30}
            placeholder="X-Sluice-Tenant"
            value={jsonData.tenantHeader ?? ''}
            onChange={(e: ChangeEvent<HTMLInputElement>) => set({ tenantHeader: e.currentTarget.value || undefined })}
          />
        </InlineField>
      </FieldSet>
    </>
  );
}
