<?php
// Sends a mail as a settings card says. Arguments: the system, the file with its snippet, the recipient.
[, $system, $snippet, $recipient] = $argv;
foreach (['PHPMailer', 'SMTP', 'Exception'] as $class) {
    require_once '/usr/share/php/libphp-phpmailer/src/' . $class . '.php';
}
function add_action(string $name, callable $action): void
{
    $GLOBALS['actions'][$name] = $action; // as WordPress does
}
$mail = new PHPMailer\PHPMailer\PHPMailer(true);
$mail->FromName = 'Müller & Söhne';
$mail->CharSet = 'utf-8';
if ($system === 'symfony') {
    require_once '/usr/share/php/Symfony/Component/Mailer/autoload.php';
    preg_match('/^MAILER_DSN="(.*)"$/', file_get_contents($snippet), $found);
    Symfony\Component\Mailer\Transport::fromDsn($found[1])->send(
        (new Symfony\Component\Mime\Email())->from('shop@shop.example')->to($recipient)->subject('Ihre Bestellung')->text('Danke.')
    );
    exit;
}
$code = file_get_contents($snippet);
eval(str_starts_with($code, '<?php') ? substr($code, 5) : $code); // what belongs into wp-config.php begins without it
if ($system === 'wordpress') {
    $GLOBALS['actions']['phpmailer_init']($mail);
} elseif ($system === 'wp-mail-smtp') {
    $mail->isSMTP(); // as the plugin does with its constants
    [$mail->Host, $mail->Port, $mail->SMTPSecure] = [WPMS_SMTP_HOST, WPMS_SMTP_PORT, WPMS_SSL];
    [$mail->SMTPAuth, $mail->SMTPAutoTLS] = [WPMS_SMTP_AUTH, WPMS_SMTP_AUTOTLS];
    [$mail->Username, $mail->Password] = [WPMS_SMTP_USER, WPMS_SMTP_PASS];
    $mail->setFrom(WPMS_MAIL_FROM);
} elseif ($system === 'typo3') {
    $settings = $GLOBALS['TYPO3_CONF_VARS']['MAIL'];
    $mail->isSMTP();
    [$mail->Host, $mail->Port] = explode(':', $settings['transport_smtp_server']);
    $mail->SMTPSecure = $settings['transport_smtp_encrypt'] ? 'ssl' : 'tls';
    $mail->SMTPAuth = true;
    [$mail->Username, $mail->Password] = [$settings['transport_smtp_username'], $settings['transport_smtp_password']];
    $mail->setFrom($settings['defaultMailFromAddress']);
}
$mail->addAddress($recipient);
$mail->Subject = 'Ihre Bestellung';
$mail->Body = 'Danke.';
$mail->send();
