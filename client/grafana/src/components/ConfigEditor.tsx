import { ChangeEvent } from 'react';
import { DataSourcePluginOptionsEditorProps } from '@grafana/data';
import { config } from '@grafana/runtime';
import { CustomHeadersSettings, FieldSet, InlineField, InlineSwitch, Input, SecretInput, SecretTextArea, SecureSocksProxySettings, TagsInput } from '@grafana/ui';
import { SluiceOptions, SluiceSecrets } from '../types';

type Props = DataSourcePluginOptionsEditorProps<SluiceOptions, SluiceSecrets>;
type Typed = ChangeEvent<HTMLInputElement>;

const LABEL = 24;
const isUrl = (text: string) => /^https?:\/\/[^/\s]+/.test(text);

/** Where the server is, who we are to it, and what a query may take. Secrets leave the page once and never come back. */
export function ConfigEditor({ options, onOptionsChange }: Props) {
  const { jsonData, secureJsonFields, secureJsonData } = options;
  const set = (part: Partial<SluiceOptions>) => onOptionsChange({ ...options, jsonData: { ...jsonData, ...part } });
  const number = (e: Typed) => Math.floor(Number(e.currentTarget.value)) || undefined;
  /** What an input of a secret needs: whether one is kept, what is typed, and how both change. */
  const secret = (name: keyof SluiceSecrets) => {
    const tell = (text: string) => onOptionsChange({ ...options, secureJsonFields: { ...secureJsonFields, [name]: false }, secureJsonData: { ...secureJsonData, [name]: text } });
    return {
      isConfigured: Boolean(secureJsonFields?.[name]),
      value: secureJsonData?.[name] ?? '',
      onChange: (e: ChangeEvent<HTMLInputElement | HTMLTextAreaElement>) => tell(e.currentTarget.value),
      onReset: () => tell(''),
    };
  };
  const flag = (name: 'tlsAuthWithCACert' | 'tlsAuth' | 'tlsSkipVerify' | 'oauthPassThru', label: string, tooltip: string) => (
    <InlineField label={label} labelWidth={LABEL} tooltip={tooltip}>
      <InlineSwitch aria-label={label} value={jsonData[name] ?? false} onChange={(e) => set({ [name]: e.currentTarget.checked })} />
    </InlineField>
  );
  const isWrong = Boolean(options.url) && !isUrl(options.url);
  return (
    <>
      <FieldSet label="Server">
        <InlineField label="URL" labelWidth={LABEL} required invalid={isWrong} error="It wants to be like http://127.0.0.1:8080" tooltip="As Grafana's server reaches it, with a path where a proxy wants one">
          <Input aria-label="URL" width={50} placeholder="http://127.0.0.1:8080" value={options.url} onChange={(e: Typed) => onOptionsChange({ ...options, url: e.currentTarget.value.trim() })} />
        </InlineField>
        <InlineField label="Bearer token" labelWidth={LABEL} tooltip="sluiced token add --role read --name grafana. A dashboard never needs more than the role read.">
          <SecretInput aria-label="Bearer token" width={50} placeholder="none: a server on loopback without tokens" {...secret('token')} />
        </InlineField>
      </FieldSet>
      <FieldSet label="Queries">
        <InlineField label="Time limit" labelWidth={LABEL} tooltip="Seconds that one query may take on the server. The server's own limit holds too.">
          <Input aria-label="Time limit" type="number" min={1} width={20} placeholder="60" suffix="s" value={jsonData.queryTimeoutSeconds ?? ''} onChange={(e: Typed) => set({ queryTimeoutSeconds: number(e) })} />
        </InlineField>
        <InlineField label="Rows at most" labelWidth={LABEL} tooltip="Of one answer, unless a query says otherwise; at most 100,000">
          <Input aria-label="Rows at most" type="number" min={1} max={100000} width={20} placeholder="10000" value={jsonData.maxRows ?? ''} onChange={(e: Typed) => set({ maxRows: number(e) })} />
        </InlineField>
      </FieldSet>
      <FieldSet label="TLS">
        {flag('tlsAuthWithCACert', 'Private authority', 'The server’s certificate is not one that Grafana’s machine trusts by itself')}
        {jsonData.tlsAuthWithCACert && (
          <InlineField label="Its certificate" labelWidth={LABEL}>
            <SecretTextArea aria-label="Certificate of the authority" cols={60} rows={5} placeholder="Begins with -----BEGIN CERTIFICATE-----" {...secret('tlsCACert')} />
          </InlineField>
        )}
        {flag('tlsAuth', 'Client certificate', 'Grafana shows a certificate of its own, for a proxy that asks for one')}
        {jsonData.tlsAuth && (
          <>
            <InlineField label="Certificate" labelWidth={LABEL}>
              <SecretTextArea aria-label="Client certificate in PEM" cols={60} rows={5} placeholder="Begins with -----BEGIN CERTIFICATE-----" {...secret('tlsClientCert')} />
            </InlineField>
            <InlineField label="Its key" labelWidth={LABEL}>
              <SecretTextArea aria-label="Client key in PEM" cols={60} rows={5} placeholder="Begins with -----BEGIN PRIVATE KEY-----" {...secret('tlsClientKey')} />
            </InlineField>
          </>
        )}
        {(jsonData.tlsAuth || jsonData.tlsAuthWithCACert) && (
          <InlineField label="Name of the server" labelWidth={LABEL} tooltip="That its certificate is for, where the URL says another">
            <Input aria-label="Name of the server" width={50} placeholder="that of the URL" value={jsonData.serverName ?? ''} onChange={(e: Typed) => set({ serverName: e.currentTarget.value || undefined })} />
          </InlineField>
        )}
        {flag('tlsSkipVerify', 'Trust any certificate', 'Whoever stands between may then read the token. For tests.')}
      </FieldSet>
      <FieldSet label="A proxy in front of it">
        <InlineField label="Tenant" labelWidth={LABEL} tooltip="Sent with every request, for a proxy in front of several servers; the server itself does not read it">
          <Input aria-label="Tenant" width={30} placeholder="none" value={jsonData.tenant ?? ''} onChange={(e: Typed) => set({ tenant: e.currentTarget.value || undefined })} />
        </InlineField>
        <InlineField label="Header of the tenant" labelWidth={LABEL}>
          <Input aria-label="Tenant header" width={30} placeholder="X-Sluice-Tenant" value={jsonData.tenantHeader ?? ''} onChange={(e: Typed) => set({ tenantHeader: e.currentTarget.value || undefined })} />
        </InlineField>
        <InlineField label="Parameters of the URL" labelWidth={LABEL} tooltip="Added to every request, as a=b&c=d">
          <Input aria-label="Parameters of the URL" width={50} placeholder="none" value={jsonData.customQueryParameters ?? ''} onChange={(e: Typed) => set({ customQueryParameters: e.currentTarget.value || undefined })} />
        </InlineField>
        <InlineField label="Basic authentication" labelWidth={LABEL} tooltip="In the place of the token">
          <InlineSwitch aria-label="Basic authentication" value={options.basicAuth} onChange={(e) => onOptionsChange({ ...options, basicAuth: e.currentTarget.checked })} />
        </InlineField>
        {options.basicAuth && (
          <>
            <InlineField label="User" labelWidth={LABEL}>
              <Input aria-label="User" width={30} value={options.basicAuthUser} onChange={(e: Typed) => onOptionsChange({ ...options, basicAuthUser: e.currentTarget.value })} />
            </InlineField>
            <InlineField label="Password" labelWidth={LABEL}>
              <SecretInput aria-label="Password" width={30} {...secret('basicAuthPassword')} />
            </InlineField>
          </>
        )}
        {flag('oauthPassThru', 'Who asks', 'Grafana’s users are named to it: their own OAuth token goes along')}
        <InlineField label="Cookies that go along" labelWidth={LABEL} tooltip="Grafana takes all others away">
          <TagsInput width={50} placeholder="names" tags={jsonData.keepCookies} onChange={(keepCookies) => set({ keepCookies })} />
        </InlineField>
      </FieldSet>
      <CustomHeadersSettings dataSourceConfig={options} onChange={onOptionsChange} />
      {config.secureSocksDSProxyEnabled && <SecureSocksProxySettings options={options} onOptionsChange={onOptionsChange} />}
    </>
  );
}
