import { useState } from 'react';
import { fireEvent, render, screen } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { DataSourceSettings } from '@grafana/data';
import { SluiceOptions, SluiceSecrets } from '../types';
import { ConfigEditor } from './ConfigEditor';

type Options = DataSourceSettings<SluiceOptions, SluiceSecrets>;

let last: Options;

function Page({ first }: { first: Partial<Options> }) {
  const [options, setOptions] = useState({ url: '', basicAuth: false, basicAuthUser: '', jsonData: {}, secureJsonData: {}, secureJsonFields: {}, ...first } as Options);
  const tell = (next: Options) => {
    last = next;
    setOptions(next);
  };
  return <ConfigEditor options={options} onOptionsChange={tell} />;
}

test('every secret is kept as one, and nothing else is', async () => {
  render(<Page first={{}} />);
  const type = (label: string, text: string) => fireEvent.change(screen.getByLabelText(label), { target: { value: text } });
  for (const flag of ['Private authority', 'Client certificate', 'Basic authentication']) {
    await userEvent.click(screen.getByLabelText(flag));
  }
  type('URL', 'https://sluice.example.net');
  type('User', 'me');
  type('Name of the server', 'inside.example.net');
  type('Tenant', 'red');
  type('Tenant header', 'X-Org');
  type('Parameters of the URL', 'cluster=north');
  const secrets = { 'Bearer token': 'secret-token', Password: 'secret-password', 'Certificate of the authority': 'secret-ca', 'Client certificate in PEM': 'secret-cert', 'Client key in PEM': 'secret-key' };
  for (const [label, text] of Object.entries(secrets)) {
    type(label, text);
  }
  await userEvent.click(screen.getByRole('button', { name: /add header/i }));
  fireEvent.change(screen.getByPlaceholderText('X-Custom-Header'), { target: { value: 'X-Team' } });
  fireEvent.change(screen.getByPlaceholderText('Header Value'), { target: { value: 'secret-header' } });
  fireEvent.blur(screen.getByPlaceholderText('Header Value'));

  const { secureJsonData, ...plain } = last;
  expect(secureJsonData).toEqual({ token: 'secret-token', basicAuthPassword: 'secret-password', tlsCACert: 'secret-ca', tlsClientCert: 'secret-cert', tlsClientKey: 'secret-key', httpHeaderValue1: 'secret-header' });
  expect(JSON.stringify(plain)).not.toContain('secret-');
  expect(plain.jsonData).toEqual({
    tlsAuthWithCACert: true,
    tlsAuth: true,
    serverName: 'inside.example.net',
    tenant: 'red',
    tenantHeader: 'X-Org',
    customQueryParameters: 'cluster=north',
    httpHeaderName1: 'X-Team',
  });
  expect(plain).toMatchObject({ url: 'https://sluice.example.net', basicAuth: true, basicAuthUser: 'me' });
});

test('a secret that is kept is not shown, and can be taken back', async () => {
  render(<Page first={{ secureJsonFields: { token: true } }} />);
  const input = screen.getByLabelText('Bearer token');
  expect(input).toBeDisabled();
  expect(input).toHaveValue('configured');
  await userEvent.click(screen.getByRole('button', { name: 'Reset' }));
  expect(last.secureJsonFields.token).toBe(false);
  expect(screen.getByLabelText('Bearer token')).toHaveValue('');
});
